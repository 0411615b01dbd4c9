"""The main job: search for an objective, judge it beside the hand-written ones on fresh units, write it all down."""

import dataclasses
import datetime
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray, PyTree

from adapters.logging.scalars import Scalars
from adapters.logging.tensorboard import load_tensorboard
from adapters.processes.distributed import from_first
from adapters.processes.signals import signals_held
from adapters.storage.objective_files import save_objective
from adapters.storage.run_folder import RunFolder
from mpo_core.data.pair_bank import PairBank, bank_shapes, label_pairs
from mpo_core.data.specification import DataSpec
from mpo_core.devices import bring_home
from mpo_core.failures import WorkFailed
from mpo_core.mirror.mirror_objective import MirrorObjective
from mpo_core.policies.policy import AbstractPolicy
from mpo_core.seeds import Purpose, Stream, stream_key
from mpo_core.training.learners import row_log_probs
from mpo_experiments.figures.fitness import draw_fitness
from mpo_experiments.figures.maps import draw_maps
from mpo_experiments.progress import Reporter
from mpo_experiments.provenance import agents_hash, computed_by, data_hash, devices, versions
from mpo_experiments.runs.marks import horizons, mean_marks
from mpo_experiments.runs.report import RunReport, load_report
from mpo_experiments.search.build import build_search, learned_parts
from mpo_experiments.search.cells import LAST_BANK, SearchCell
from mpo_experiments.search.program import SearchState
from mpo_experiments.settings.run_config import RunConfig
from mpo_experiments.show.run import write_run_report
from mpo_experiments.testbed import Testbed


class MetaTraining:
    """A run from its folder and configuration; `run` may be called on a fresh, an interrupted or a finished one.

    Args:
        log: where its numbers go beside the folder: one of `adapters.logging.scalars.LOGS`.
    """

    def __init__(self, folder: RunFolder, config: RunConfig, reporter: Reporter, log: str = "tensorboard"):
        self.folder, self.reporter, self.log = folder, reporter, log
        self.config, own = config, config.cells()
        testbeds = {one.task: Testbed(one.task, length=one.rows.length) for one in own}
        self.cells = [SearchCell(one, testbeds[one.task]) for one in own]
        self.learned, self.common = learned_parts(config, self.cells)
        self.start = eqx.combine(self.learned, self.common)

    def run(self) -> RunReport:
        """Searches, judges, writes; returns the final tables."""
        finished = self.finished()
        if finished is not None:
            return finished
        self.folder.sweep()
        written = self.config.model_copy(update={"provenance": self._history()})
        self.folder.write_config(written.model_dump(mode="json"))
        for cell in self.cells:
            cell.check_horizon()
        found, banks = self._search(self.learned, self.common)
        discovered = eqx.combine(found, self.common)
        self.folder.check()
        self._save(discovered)
        report = self._report(discovered)
        self.folder.check()
        self._draw(discovered, banks or self._banks(0))
        write_run_report(self.folder, self.config, report)
        report.save(self.folder.path)  # with it the run is finished
        return report

    def finished(self) -> RunReport | None:
        """The final table, if it is written already."""
        return load_report(self.folder.path)

    def marks(self) -> dict[str, float]:
        """What the tuned hand-written objectives scored on the tuning units: reference marks for the search."""
        return mean_marks([cell.config for cell in self.cells])

    # -- search ---------------------------------------------------------------------------------------------------

    def _search(self, learned: PyTree, common: PyTree) -> tuple[PyTree, tuple[PairBank, ...] | None]:
        """What the search found, and the first banks of pairs, if this part of it had them."""
        settings = self.config.search
        program = build_search(self.config, self.cells, (learned, common))
        state = bring_home(program.start())
        first, state = from_first(self.folder.load_checkpoint(state, self.reporter.note) or (0, state))
        first, state = int(first), program.place(state)
        self.folder.keep_metrics_before(first, self.reporter.note)
        if first >= settings.generations:  # it was interrupted after the last one
            return bring_home(program.result(state)), None
        with ThreadPoolExecutor(1) as aside:  # compiling takes about as long as the pairs do
            shapes = tuple(bank_shapes(cell.testbed.task, cell.bank_size) for cell in self.cells)
            compiling = aside.submit(program.compiled, shapes)
            aside.submit(load_tensorboard)
            banks = self._banks(first)
            self.reporter.stage("Compiling the search", 1, "program")
            step = compiling.result()
            self.reporter.advance(1)
        placed = program.place(banks)
        with Scalars(self.folder.path, self.log, first=first, config=self.config.model_dump(mode="json")) as log:
            self.reporter.stage("Search", settings.generations, "generation", done=first)
            for generation in range(first, settings.generations):
                if generation > first and settings.bank_refresh and generation % settings.bank_refresh == 0:
                    placed = program.place(self._banks(generation))
                    self.reporter.stage("Search", settings.generations, "generation", done=generation)
                state, record = self._generation(step, state, program.place(jnp.int32(generation)), placed)
                fault = self._fault(record, state)
                self._keep(record, None if fault else state, log)
                self.reporter.generation(record)
                self.reporter.advance(1)
                if fault:
                    raise WorkFailed(self._advice(generation, fault))
        return bring_home(program.result(state)), None if self._bank_number(first) else banks

    def _keep(self, record: dict[str, Any], state: SearchState | None, log: Scalars) -> None:
        """Writes a generation down. Without a state there is no checkpoint: a resumed search tries it again."""
        with signals_held():
            self.folder.append_metrics(record)  # before the checkpoint: a resumed search writes it again
            if state is not None:
                self.folder.save_checkpoint(record["generation"] + 1, state)
            log.write(_scalars(record))

    def _fault(self, record: dict[str, Any], state: SearchState) -> str | None:
        """Why the search cannot go on after a generation, if it cannot."""
        members = self.config.strategy.population
        if record["failed"] == members:
            return f"all {members} members failed, none trained a policy with a finite return"
        # on the host: the program of a generation, and with it the bytes of a healthy search, stay as they are
        if any(np.isnan(leaf).any() for leaf in map(np.asarray, jax.tree.leaves(state))):
            return "the step after it left the search distribution with NaN"
        return None

    def _advice(self, generation: int, fault: str) -> str:
        config, strategy = self.config, self.config.strategy
        smaller = [f"strategy.sigma (now {strategy.sigma:g})"]
        if "learning_rate" not in strategy.without_effect:
            smaller.append(f"strategy.learning_rate (now {strategy.learning_rate:g})")
        smaller.append(f"inner.learning_rate (now {config.inner.learning_rate:g})")
        return (
            f"generation {generation + 1}: {fault}; search anew with a smaller {' or '.join(smaller)}, "
            f"or from another --init (now {config.init}); "
            f"the generations before are kept, and mpo meta-train --resume {self.folder} tries this one again"
        )

    def _banks(self, generation: int) -> tuple[PairBank, ...]:
        """The pairs of every cell, as a generation has them."""
        first = self._bank_number(generation) * len(self.cells)
        found = []
        for place, cell in enumerate(self.cells):
            self._name(cell)
            found.append(cell.bank(first + place, self.reporter))
        return tuple(found)

    def _bank_number(self, generation: int) -> int:
        refresh = self.config.search.bank_refresh
        return generation // refresh if refresh else 0

    def _name(self, cell: SearchCell) -> None:
        """Says which cell the stages that follow are about, where there are several."""
        if len(self.cells) > 1:
            self.reporter.note(f"{cell.name}:")

    def _generation(
        self, step: Callable, state: SearchState, number: jax.Array, banks: tuple[PairBank, ...]
    ) -> tuple[SearchState, dict[str, Any]]:
        began = time.perf_counter()
        state, scores = step(state, number, banks)
        members = np.asarray(scores.members)
        finite = members[np.isfinite(members)]
        record = {
            "generation": int(number),
            "mean": _number(scores.mean),
            "start": _number(scores.start),
            "best": float(finite.max()) if finite.size else None,
            "population_mean": float(finite.mean()) if finite.size else None,
            "failed": int(members.size - finite.size),
            "seconds": round(time.perf_counter() - began, 3),
        }
        if scores.cells is not None:
            pairs = zip(self.cells, np.asarray(scores.cells), strict=True)
            record["cells"] = {cell.name: {"mean": _number(a), "start": _number(b)} for cell, (a, b) in pairs}
        return state, record

    # -- after the search -----------------------------------------------------------------------------------------

    def _save(self, discovered: MirrorObjective) -> None:
        config = self.config
        init = config.init.card()["init"] if config.init.loss is None else str(config.init.loss.spelled_out())
        per_task = {"per_task": config.per_task} if config.per_task else {}
        provenance = {
            "task": ",".join(config.tasks), "data": ",".join(config.kinds),
            "preset": config.preset, "seed": config.seed,
            "started_from": str(config.init), "strategy": dataclasses.asdict(config.strategy),
            "search": dataclasses.asdict(config.search), "rows": dataclasses.asdict(config.rows),
            "inner": config.inner.recorded(), **per_task,
            "bin_width": _shared({cell.config.task: cell.testbed.card.bin_width for cell in self.cells}),
            "backend": self._backend(), "agents_sha256": self._agents(), "versions": versions(),
            "products": computed_by(config.inner),
            "note": "our reconstruction of arXiv 2411.06568; the search mean, averaged over its last quarter",
        }  # fmt: skip
        save_objective(self.folder.path, discovered, init=init, temporal=config.temporal, provenance=provenance)

    def _report(self, discovered: MirrorObjective) -> RunReport:
        reports = []
        for cell in self.cells:
            self._name(cell)
            reports.append(cell.report(self.start, discovered, self.reporter))
        return RunReport(cells=reports)

    def _draw(self, discovered: MirrorObjective, banks: tuple[PairBank, ...]) -> None:
        config, folder = self.config, self.folder.path / "figures"
        key = stream_key(config.seed, Stream.SEARCH, LAST_BANK, Purpose.LABELS)
        judged = horizons([cell.config for cell in self.cells])
        draw_fitness(folder / "fitness.png", self.folder.metrics(), self.marks(), config.title, judged)
        found = [_lowest(cell, bank, key) for cell, bank in zip(self.cells, banks, strict=True)]
        lowest = {kind: min(one[kind] for one in found) for kind in found[0]}
        draw_maps(
            folder / "maps.png", discovered, self.start, lowest=lowest, temporal=config.temporal,
            title=f"Maps learned on {config.title}",
        )  # fmt: skip

    def _history(self) -> dict[str, Any]:
        """The provenance of the run's first part, and what has changed since where it was resumed."""
        before, now = self.config.provenance, self._provenance()
        if not before:
            return now
        changed = [name for name in ("versions", "devices", "agents_sha256") if before.get(name) != now[name]]
        if changed:
            self.reporter.note(
                f"warning: {', '.join(changed)} changed since the run began: it will not repeat byte for byte"
            )
        return before | {"resumed": [*before.get("resumed", []), now]}

    def _provenance(self) -> dict[str, Any]:
        return {
            "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "versions": versions(), "devices": devices(), "products": computed_by(self.config.inner),
            "backend": self._backend(), "agents_sha256": self._agents(),
            "data_sha256": _shared({cell.name: _data_hash(cell) for cell in self.cells}),
        }  # fmt: skip

    def _backend(self) -> Any:
        return _shared({cell.config.task: cell.testbed.task.backend for cell in self.cells})

    def _agents(self) -> Any:
        data = ",".join(self.config.kinds)
        return _shared({cell.config.task: agents_hash(cell.config.task, data) for cell in self.cells})


def _shared(values: dict[str, Any]) -> Any:
    """The value that all have; the values by name where they differ."""
    first, *others = values.values()
    return first if all(other == first for other in others) else values


def _data_hash(cell: SearchCell) -> str:
    config = cell.config
    rows = (config.rows.count, config.rows.length)
    return data_hash(config.task, cell.testbed.task.backend, config.data, rows, config.seed)


def _scalars(record: dict[str, Any]) -> dict[str, Any]:
    """A record without groups, as TensorBoard has it."""
    found = {name: value for name, value in record.items() if name != "cells"}
    for cell, scores in record.get("cells", {}).items():
        found |= {f"{name}/{cell}": value for name, value in scores.items()}
    return found


def _number(value: jax.Array | np.floating) -> float | None:
    """A number that JSON has."""
    return float(value) if np.isfinite(value) else None


def _lowest(cell: SearchCell, bank: PairBank, key: PRNGKeyArray) -> dict[str, float]:
    """The least log-prob worth showing, of a trajectory and of its mean token."""
    sample = jax.tree.map(lambda leaf: leaf[:: max(1, len(leaf) // 64)], bank)
    log_prob, tokens = _log_probs(cell.testbed.original, sample, cell.spec, key)
    return {
        "sum": 1.5 * float(log_prob.min()),
        "mean": 1.5 * float((log_prob / np.maximum(tokens, 1.0)).min()),
    }


@partial(jax.jit, static_argnums=2)
def _log_probs(
    policy: AbstractPolicy, bank: PairBank, spec: DataSpec, key: PRNGKeyArray
) -> tuple[jax.Array, jax.Array]:
    rows = label_pairs(bank, spec, key=key)
    return row_log_probs(policy, rows), jnp.asarray(rows.tokens)
