"""The main job: search for an objective, judge it beside the hand-written ones on fresh units, write it all down."""

import dataclasses
import datetime
import time
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray, PyTree

from adapters.arena import Arena, race_settings
from adapters.config import RunConfig
from adapters.failures import WorkFailed
from adapters.figures import draw_fitness, draw_maps
from adapters.objective_files import canonical_text, is_path, learned_start, read_objective, save_objective
from adapters.provenance import agents_hash, data_hash, devices, versions
from adapters.report import Report, make_report
from adapters.run_folder import RunFolder
from adapters.search import SearchProblem, SearchProgram, SearchState
from adapters.signals import signals_held
from adapters.strategies import Strategy
from adapters.tensorboard import ScalarLog
from adapters.tuned import BASELINES, TunedCell, load_tuned
from adapters.watch import Watch
from mpo_core.catalogue import catalogue_entry, make_objective
from mpo_core.data_spec import DataSpec, parse_data_spec
from mpo_core.generate_pairs import generate_pairs
from mpo_core.inner_loop import row_log_probs
from mpo_core.mirror.learned import split_learned
from mpo_core.mirror.mirror_objective import MirrorObjective
from mpo_core.pair_bank import PairBank, label_pairs
from mpo_core.policy import GaussianPolicy
from mpo_core.race import Entrant
from mpo_core.seeds import Purpose, Stream, stream_key
from mpo_core.settings import RowSettings

START_NAME, DISCOVERED_NAME = "start", "discovered"


class MetaTraining:
    """A run from its folder and configuration; `run` may be called on a fresh, an interrupted or a finished one."""

    def __init__(self, folder: RunFolder, config: RunConfig, watch: Watch):
        self.folder, self.config, self.watch = folder, config, watch
        self.arena = Arena(config.task, chunk=min(50, config.rows.length))
        self.spec = parse_data_spec(config.data)
        self.start = learned_start(config.init, config.temporal)

    def run(self) -> Report:
        """Searches, judges, writes; returns the final table."""
        finished = self.finished()
        if finished is not None:
            return finished
        self.folder.sweep()
        self.folder.write_config(self.config.model_copy(update={"provenance": self._history()}))
        self._check_horizon()
        learned, common = split_learned(self.start)
        found, bank = self._search(learned, common)
        discovered = eqx.combine(found, common)
        self.folder.check()
        self._save(discovered)
        report = self._report(discovered)
        self.folder.check()
        self._draw(discovered, bank)
        report.save(self.folder.path)
        return report

    def _check_horizon(self) -> None:
        """Refuses a report that could not be made, before the search rather than after it."""
        for mode in (False, True):
            self.arena.constants(self.config.report.evaluation.horizon, mode=mode)

    def finished(self) -> Report | None:
        """The final table, if it is written already."""
        return Report.load(self.folder.path)

    @cached_property
    def _tuned(self) -> TunedCell | None:
        return load_tuned(self.config.task, self.config.data)

    def marks(self) -> dict[str, float]:
        """What the tuned hand-written objectives scored on the tuning units: reference marks for the search."""
        cell = self._tuned
        if cell is None or not cell.fits(self.config.data, self.config.rows, self.config.inner):
            return {}
        return {name: found.score for name, found in cell.objectives.items()}

    # -- search ---------------------------------------------------------------------------------------------------

    def _search(self, learned: PyTree, common: PyTree) -> tuple[PyTree, PairBank]:
        config, settings = self.config, self.config.search
        strategy = Strategy(config.strategy, learned, settings.generations)
        problem = SearchProblem(
            task=self.arena.task, original=self.arena.original, spec=self.spec, rows=config.rows.count,
            inner=config.inner, constants=self.arena.constants(settings.horizon), seed=config.seed,
        )  # fmt: skip
        program = SearchProgram(problem, settings, strategy, (learned, common), self.arena.program.mesh)
        state, first = program.start(), 0
        saved = self.folder.load_checkpoint(state, self.watch.note)
        if saved is not None:
            first, state = saved[0], program.place(saved[1])
        self.folder.keep_metrics_before(first, self.watch.note)
        bank = self._bank(first)
        placed = program.place(bank)
        with ScalarLog(self.folder.path / "tensorboard", first) as log:
            self.watch.stage("Search", settings.generations, "generation", done=first)
            for generation in range(first, settings.generations):
                if generation > first and settings.bank_refresh and generation % settings.bank_refresh == 0:
                    placed = program.place(self._bank(generation))
                    self.watch.stage("Search", settings.generations, "generation", done=generation)
                state, record = self._generation(program, state, generation, placed)
                fault = self._fault(record, state)
                self._keep(record, None if fault else state, log)
                self.watch.generation(record)
                self.watch.advance(1)
                if fault:
                    raise WorkFailed(self._advice(generation, fault))
        return program.result(state), bank

    def _keep(self, record: dict[str, Any], state: SearchState | None, log: ScalarLog) -> None:
        """Writes a generation down. Without a state there is no checkpoint: a resumed search tries it again."""
        with signals_held():
            self.folder.append_metrics(record)  # before the checkpoint: a resumed search writes it again
            if state is not None:
                self.folder.save_checkpoint(record["generation"] + 1, state)
            log.write(record)

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
        return (
            f"generation {generation + 1}: {fault}; search anew with a smaller strategy.sigma "
            f"(now {strategy.sigma:g}), strategy.learning_rate (now {strategy.learning_rate:g}) or "
            f"inner.learning_rate (now {config.inner.learning_rate:g}), or from another --init (now {config.init}); "
            f"the generations before are kept, and mpo meta-train --resume {self.folder} tries this one again"
        )

    def _bank(self, generation: int) -> PairBank:
        config = self.config
        refresh = config.search.bank_refresh
        number = generation // refresh if refresh else 0
        size = RowSettings(config.search.bank_pairs, config.rows.length)
        self.watch.stage("Pairs of trajectories", 2 * size.count * size.length, "step")
        key = stream_key(config.seed, Stream.SEARCH, 2**31 - 1 - number)
        return generate_pairs(
            self.arena.program, self.arena.agents, self.spec, size, key=key, advance=self.watch.advance
        )

    def _generation(
        self, program: SearchProgram, state: SearchState, generation: int, bank: PairBank
    ) -> tuple[SearchState, dict[str, Any]]:
        began = time.perf_counter()
        state, scores = program.step(state, program.place(jnp.int32(generation)), bank)
        members = np.asarray(scores.members)
        finite = members[np.isfinite(members)]
        record = {
            "generation": generation,
            "mean": _number(scores.mean),
            "start": _number(scores.start),
            "best": float(finite.max()) if finite.size else None,
            "population_mean": float(finite.mean()) if finite.size else None,
            "failed": int(members.size - finite.size),
            "seconds": round(time.perf_counter() - began, 3),
        }
        return state, record

    # -- after the search -----------------------------------------------------------------------------------------

    def _save(self, discovered: MirrorObjective) -> None:
        config = self.config
        init = read_objective(Path(config.init))[0]["init"] if is_path(config.init) else canonical_text(config.init)
        provenance = {
            "task": config.task, "data": config.data, "preset": config.preset, "seed": config.seed,
            "started_from": config.init, "strategy": dataclasses.asdict(config.strategy),
            "search": dataclasses.asdict(config.search), "rows": dataclasses.asdict(config.rows),
            "inner": dataclasses.asdict(config.inner), "bin_width": self.arena.card.bin_width,
            "backend": self.arena.task.backend, "agents_sha256": agents_hash(config.task), "versions": versions(),
            "note": "our reconstruction of arXiv 2411.06568; the search mean, averaged over its last quarter",
        }  # fmt: skip
        save_objective(self.folder.path, discovered, init=init, temporal=config.temporal, provenance=provenance)

    def _report(self, discovered: MirrorObjective) -> Report:
        config, cell = self.config, self._tuned
        entrants: dict[str, Entrant] = {}
        for id in BASELINES:
            tuned = cell.objectives.get(id) if cell else None
            settings = tuned.settings if tuned else {}
            entrants[id] = Entrant(
                make_objective(id, **settings), catalogue_entry(id).sft_epochs_of(config.inner.epochs)
            )
        entrants[START_NAME] = Entrant(self.start, config.inner.sft_epochs)
        entrants[DISCOVERED_NAME] = Entrant(discovered, config.inner.sft_epochs)
        race = race_settings(config, Stream.REPORTING, config.report.units)
        scores = self.arena.race(list(entrants.values()), race, self.watch)
        return make_report(config, self.arena.constants(config.report.evaluation.horizon), list(entrants), scores, cell)

    def _draw(self, discovered: MirrorObjective, bank: PairBank) -> None:
        config, folder = self.config, self.folder.path / "figures"
        key = stream_key(config.seed, Stream.SEARCH, 2**31 - 1, Purpose.LABELS)
        sample = jax.tree.map(lambda leaf: leaf[:: max(1, len(leaf) // 64)], bank)
        log_prob, tokens = _log_probs(self.arena.original, sample, self.spec, key)
        draw_fitness(folder / "fitness.png", self.folder.metrics(), self.marks(), f"{config.task}, {config.data}")
        lowest = {
            "sum": 1.5 * float(log_prob.min()),
            "mean": 1.5 * float((log_prob / np.maximum(tokens, 1.0)).min()),
        }
        draw_maps(folder / "maps.png", discovered, self.start, lowest=lowest, temporal=config.temporal)

    def _history(self) -> dict[str, Any]:
        """The provenance of the run's first part, and what has changed since where it was resumed."""
        before, now = self.config.provenance, self._provenance()
        if not before:
            return now
        changed = [name for name in ("versions", "devices", "agents_sha256") if before.get(name) != now[name]]
        if changed:
            self.watch.note(
                f"warning: {', '.join(changed)} changed since the run began: it will not repeat byte for byte"
            )
        return before | {"resumed": [*before.get("resumed", []), now]}

    def _provenance(self) -> dict[str, Any]:
        config = self.config
        rows = (config.rows.count, config.rows.length)
        return {
            "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "versions": versions(), "devices": devices(), "backend": self.arena.task.backend,
            "agents_sha256": agents_hash(config.task),
            "data_sha256": data_hash(config.task, self.arena.task.backend, config.data, rows, config.seed),
        }  # fmt: skip


def _number(value: jax.Array) -> float | None:
    """A number that JSON has."""
    return float(value) if np.isfinite(value) else None


@partial(jax.jit, static_argnums=2)
def _log_probs(
    policy: GaussianPolicy, bank: PairBank, spec: DataSpec, key: PRNGKeyArray
) -> tuple[jax.Array, jax.Array]:
    rows = label_pairs(bank, spec, key=key)
    return row_log_probs(policy, rows), jnp.asarray(rows.tokens)
