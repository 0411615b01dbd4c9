"""A benchmark on disk: finished cells and, beside each, the tuned settings that it was made with."""

import dataclasses
from pathlib import Path
from typing import Any

from adapters.storage.files import slug
from adapters.storage.sealed import read_model, write_sealed
from mpo_core.names import shortened
from mpo_experiments.benchmark.cell import BenchmarkCell, BenchmarkSettings, CellKey, Entry, tuned_with
from mpo_experiments.objectives.saved import objective_hash
from mpo_experiments.provenance import agents_hash, made_elsewhere, made_here
from mpo_experiments.tuning.score_log import ScoreLog, log_of
from mpo_experiments.tuning.tuned import TunedCell, read_tuned

AGAIN = "remove it to have it run again"
ELSE = "choose another --out or remove it"


class BenchmarkFolder:
    """`cells/<task>-<data>-w<bin width>[-r<rows>].json` and `.tuned.json`; one process at a time writes to a folder."""

    def __init__(self, path: Path):
        self.path = path

    def cell(self, key: CellKey, settings: BenchmarkSettings) -> BenchmarkCell | None:
        """A finished cell with all objectives that are asked for, and no others; None if it is not there.

        Raises:
            ValueError: it is damaged, or was made with other settings or agents.
        """
        found = self.begun(key, settings)
        return None if found is None or lacking(found, settings) else only_asked(found, settings)

    def begun(self, key: CellKey, settings: BenchmarkSettings) -> BenchmarkCell | None:
        """A finished cell as it is, with more or fewer saved objectives than are asked for; None if it is not there.

        A hand-written objective cannot be added: it would not have been searched beside the others.

        Raises:
            ValueError: it is damaged, or was made with other settings or agents, or lacks some and was made elsewhere.
        """
        found = self.any_cell(key)
        if found is None:
            return None
        path = self._file(key)
        before, now = found.settings, settings
        if before is not None and now.tuned_from is not None:
            self.check_borrowed(key, found, now)
            before, now = before.without_tuning(), now.without_tuning()
        if before is not None and _alike_but_for_saved(before, now):
            before = dataclasses.replace(before, objectives=now.objectives)
        if before != now:
            if before is not None and before == dataclasses.replace(now, method=before.method, tune=before.tune):
                raise ValueError(
                    f"benchmark cell {path}: its settings were searched otherwise; to go on with it: --tuning "
                    f"{found.method}, or {ELSE}"
                )
            raise ValueError(f"benchmark cell {path}: was made with other settings{_change(before, now)}; {ELSE}")
        if found.config != settings.config(key).recorded():
            raise ValueError(f"benchmark cell {path}: was made with other sizes; {ELSE}")
        if found.provenance.get("agents") != agents_hash(key.task, key.data):
            raise ValueError(f"benchmark cell {path}: was made with other agents; {ELSE}")
        for entry in found.objectives:
            if entry.id in settings.objectives and entry.sha256 not in (None, objective_hash(entry.id)):
                raise ValueError(f"benchmark cell {path}: was made with another {entry.id}; {ELSE}")
        here = made_here(key.task, key.data, settings.config(key).inner)
        if lacking(found, settings) and (elsewhere := made_elsewhere(found.provenance, here)):
            raise ValueError(f"benchmark cell {path}: {elsewhere}, so nothing can be added to it here; {ELSE}")
        return found

    def beside(self, keys: list[CellKey], settings: BenchmarkSettings) -> tuple[list[BenchmarkCell], list[str]]:
        """The finished cells that are not asked for: those that tables may hold beside what is, and why others not."""
        found, left_out = [], []
        for path in sorted(self.path.glob("cells/*.json")):
            if path.name.endswith(".tuned.json"):
                continue
            try:
                cell = read_model(path, "benchmark cell", BenchmarkCell, advice=AGAIN)
                if cell.key in keys:
                    continue
                alike = self.cell(cell.key, settings)
            except ValueError as error:
                left_out.append(str(error))
                continue
            if alike is None:
                left_out.append(f"benchmark cell {path}: was made without some of the objectives")
            else:
                found.append(alike)
        return found, left_out

    def check_borrowed(self, key: CellKey, found: BenchmarkCell, settings: BenchmarkSettings) -> None:
        """Refuses a cell whose settings are others than those that are to be borrowed now."""
        source = BenchmarkFolder(Path(settings.tuned_from or "")).any_cell(key)
        wanted = {} if source is None else {one.id: one for one in source.objectives if one.sha256 is None}
        for entry in found.objectives:
            other = wanted.get(entry.id)
            if other is not None and run_with(other) != run_with(entry):
                raise ValueError(
                    f"benchmark cell {self._file(key)}: {entry.id} was run with other settings than --tuned-from "
                    f"{settings.tuned_from} has; {ELSE}"
                )

    def any_cell(self, key: CellKey) -> BenchmarkCell | None:
        """A finished cell, whatever its settings; None if it is not there.

        Raises:
            ValueError: it is damaged.
        """
        path = self._file(key)
        return read_model(path, "benchmark cell", BenchmarkCell, advice=AGAIN) if path.is_file() else None

    def borrowed(self, key: CellKey, settings: BenchmarkSettings) -> BenchmarkCell:
        """A finished cell of another benchmark, whose tuned settings are to be used.

        Raises:
            ValueError: it is not there, is damaged, or is of other sizes or agents.
        """
        found = self.any_cell(key)
        if found is None:
            raise ValueError(f"--tuned-from {self.path}: has no cell of {key}; run it with mpo benchmark first")
        if found.config != settings.config(key).recorded() or found.provenance.get("agents") != agents_hash(
            key.task, key.data
        ):
            raise ValueError(f"--tuned-from {self.path}: its cell of {key} is of another preset or of other agents")
        return found

    def tuned(self, key: CellKey, settings: BenchmarkSettings, ids: tuple[str, ...]) -> TunedCell | None:
        """The settings that an interrupted cell had already found; None if there are none that fit."""
        path = self._file(key, ".tuned")
        try:
            found = read_tuned(path)
            before = tuned_with(found)
        except ValueError:  # not there, or damaged: it is made again
            return None
        fits = (
            before == settings
            and set(ids) <= found.objectives.keys()
            and _tuned_here(key, settings, ids).items() <= found.provenance.items()
        )
        return found if fits else None

    def save_tuned(self, key: CellKey, settings: BenchmarkSettings, tuned: TunedCell) -> None:
        """Keeps what tuning found, with what it was tuned on."""
        here = _tuned_here(key, settings, tuple(tuned.objectives))
        kept = tuned.model_copy(update={"provenance": tuned.provenance | here})
        write_sealed(self._file(key, ".tuned"), kept.model_dump(mode="json"))

    def log(self, key: CellKey, settings: BenchmarkSettings) -> ScoreLog:
        """The scores of a cell that is not finished."""
        return log_of(self._file(key, ".scores").with_suffix(".jsonl"), str(key), settings.config(key))

    def save(self, cell: BenchmarkCell) -> None:
        """Keeps a finished cell."""
        write_sealed(self._file(cell.key), cell.model_dump(mode="json"))

    def _file(self, key: CellKey, kind: str = "") -> Path:
        rows = "" if key.rows is None else f"-r{key.rows}"
        return self.path / "cells" / f"{key.task}-{slug(key.data)}-w{key.bin_width:g}{rows}{kind}.json"


def lacking(cell: BenchmarkCell, settings: BenchmarkSettings) -> tuple[str, ...]:
    """The objectives asked for that a cell does not have."""
    there = {entry.id for entry in cell.objectives}
    return tuple(id for id in settings.objectives if id not in there)


def only_asked(cell: BenchmarkCell, settings: BenchmarkSettings) -> BenchmarkCell:
    """A cell without the saved objectives that are not asked for, in the order in which they are."""
    entries = {entry.id: entry for entry in cell.objectives}
    return cell.model_copy(update={"objectives": [entries[id] for id in settings.objectives]})


def _alike_but_for_saved(before: BenchmarkSettings, now: BenchmarkSettings) -> bool:
    """Whether the objectives, in whatever order, are the same but for saved ones, some of which came or went."""
    gone, come = (set(one.objectives) - set(other.objectives) for one, other in ((before, now), (now, before)))
    return all("/" in id for id in gone) and all(objective_hash(id) is not None for id in come)


def run_with(entry: Entry) -> tuple[dict[str, float], int, float | None]:
    """What tuning chose of an objective's run."""
    return entry.settings, entry.sft_epochs, entry.learning_rate


def _tuned_here(key: CellKey, settings: BenchmarkSettings, ids: tuple[str, ...]) -> dict[str, Any]:
    """What tuned settings depend on besides the settings of a benchmark."""
    return {
        "agents": agents_hash(key.task, key.data), "cell": settings.config(key).recorded(),
        "saved": {id: objective_hash(id) for id in sorted(ids) if "/" in id},
    }  # fmt: skip


def _change(before: BenchmarkSettings | None, now: BenchmarkSettings) -> str:
    """The first setting that differs, with both values; of objectives those that came or went."""
    if before is None:
        return ""
    old, new = dataclasses.asdict(before), dataclasses.asdict(now)
    name = next(name for name in new if old[name] != new[name])
    changed = set(before.objectives) ^ set(now.objectives)
    if name == "objectives" and changed:
        one = next(id for id in (*now.objectives, *before.objectives) if id in changed)
        return f" (objectives {'without' if one in now.objectives else 'with'} {shortened(one)})"
    values = (shortened(",".join(one) if isinstance(one, tuple) else str(one)) for one in (old[name], new[name]))
    return f" ({name.replace('_', ' ')} {' and not '.join(values)})"
