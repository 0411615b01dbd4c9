"""The final table of a run: every objective's normalised score on the reporting units, and paired differences."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pydantic

from adapters.storage.files import read_json
from adapters.storage.sealed import read_model, write_sealed
from mpo_core.evaluation.comparison import ComparisonReturns
from mpo_core.evaluation.statistics import Interval, holm, mean_interval, paired_difference, paired_p_value
from mpo_experiments.settings.run_config import CellConfig
from mpo_experiments.tuning.tuned import TunedCell

FILE_NAME = "report.json"
LAST_ROWS = ("start", "discovered")
"""What a table ends with, after the hand-written objectives."""
ADVICE = "remove it and resume the run to make it anew"


class Row(pydantic.BaseModel):
    """One objective."""

    model_config = pydantic.ConfigDict(extra="forbid")

    name: str
    note: str
    sampled: list[pydantic.FiniteFloat]
    """Normalised score on each reporting unit, sampled actions."""
    mode: list[pydantic.FiniteFloat]
    """The same, mode actions."""
    clamped: pydantic.FiniteFloat
    """Share of trajectories, over all updates, whose mean token log-prob lay above the clamp of logits."""

    def interval(self, *, mode: bool = False) -> Interval:
        """Mean over units with its 95 % t interval."""
        return mean_interval(np.asarray(self.mode if mode else self.sampled, float))


class CellReport(pydantic.BaseModel):
    """What a run found on one task and kind of data, on units that neither search nor tuning has seen."""

    model_config = pydantic.ConfigDict(extra="forbid")

    schema_version: Literal[1] = 1
    task: str
    data: str
    preset: str
    init: str
    units: int = pydantic.Field(ge=2)
    seed: int
    original: pydantic.FiniteFloat
    target: pydantic.FiniteFloat
    """Return of the two agents: normalised scores 0 and 1."""
    original_mode: pydantic.FiniteFloat | None = None
    """Return of the original agent's mode actions; None in reports of before it was kept."""
    rows: list[Row]

    @pydantic.model_validator(mode="after")
    def _is_whole(self) -> "CellReport":
        names = [row.name for row in self.rows]
        if tuple(names[-2:]) != LAST_ROWS or len(names) < 3 or len(set(names)) < len(names):
            raise ValueError(f"its rows are not hand-written objectives, then {' and '.join(LAST_ROWS)}")
        if any(len(scores) != self.units for row in self.rows for scores in (row.sampled, row.mode)):
            raise ValueError(f"a row has not one score for each of {self.units} units")
        return self

    @property
    def title(self) -> str:
        """Where its scores were measured."""
        return f"{self.task}, {self.data}"

    def row(self, name: str) -> Row:
        """The row of an objective."""
        return next(row for row in self.rows if row.name == name)

    def best_hand_written(self) -> Row:
        """The hand-written objective with the highest mean: chosen on the reporting units, so in its own favour."""
        return max(self.rows[:-2], key=lambda row: np.nan_to_num(row.interval().estimate, nan=-np.inf))

    def difference(self, other: str, *, mode: bool = False) -> Interval:
        """Discovered minus another row, paired by unit."""
        return mean_interval(self._gained(other, mode))

    def p_values(self, others: Sequence[str], *, mode: bool = False) -> list[float]:
        """p of the paired t test of discovered against rows, adjusted by Holm's method for how many they are."""
        return list(map(float, holm(np.array([paired_p_value(self._gained(other, mode)) for other in others]))))

    def gains(self, *, mode: bool = False) -> list[tuple[str, Interval, float]]:
        """Discovered minus its start, and minus the best hand-written row: which row, the difference, and its p."""
        others = ("start", self.best_hand_written().name)
        p_values = self.p_values(others, mode=mode)
        return [(name, self.difference(name, mode=mode), p) for name, p in zip(others, p_values, strict=True)]

    def _gained(self, other: str, mode: bool) -> np.ndarray:
        ours, theirs = ((row.mode if mode else row.sampled) for row in (self.rows[-1], self.row(other)))
        return np.asarray(ours, float) - np.asarray(theirs, float)

    @property
    def no_noise(self) -> float | None:
        """What the original agent scores without action noise, on the scale of sampled actions."""
        if self.original_mode is None:
            return None
        return (self.original_mode - self.original) / (self.target - self.original)


class RunReport(pydantic.BaseModel):
    """What a run found in each of its cells, on that cell's own units."""

    model_config = pydantic.ConfigDict(extra="forbid")

    schema_version: Literal[2] = 2
    """1 was a single cell without the list around it."""
    cells: list[CellReport] = pydantic.Field(min_length=1)

    @pydantic.model_validator(mode="after")
    def _belong_together(self) -> "RunReport":
        if len({cell.title for cell in self.cells}) < len(self.cells):
            raise ValueError("it holds a combination of task and data twice")
        if len({(cell.units, cell.seed, tuple(row.name for row in cell.rows)) for cell in self.cells}) > 1:
            raise ValueError("its combinations do not have the same rows, units and seed")
        return self

    @property
    def seed(self) -> int:
        """Seed of the run."""
        return self.cells[0].seed

    def overall(self) -> CellReport:
        """The mean over the cells, unit by unit: intervals are over units.

        The units of the cells with the same number share seeds, so they are averaged first and not counted as so many
        independent ones.
        """
        first = self.cells[0]
        rows = [
            Row(
                name=row.name, note="",
                sampled=list(np.mean([cell.rows[place].sampled for cell in self.cells], 0)),
                mode=list(np.mean([cell.rows[place].mode for cell in self.cells], 0)),
                clamped=float(np.mean([cell.rows[place].clamped for cell in self.cells])),
            )
            for place, row in enumerate(first.rows)
        ]  # fmt: skip
        tasks, kinds = (
            ",".join(dict.fromkeys(getattr(cell, name) for cell in self.cells)) for name in ("task", "data")
        )
        return CellReport(
            task=tasks, data=kinds, preset=first.preset, init=first.init, units=first.units, seed=first.seed,
            original=0.0, target=1.0, rows=rows,
        )  # fmt: skip

    def save(self, folder: Path) -> None:
        """report.json in the run folder."""
        write_sealed(folder / FILE_NAME, self.model_dump(mode="json"))


def load_report(folder: Path) -> RunReport | None:
    """The report of a finished run; None if there is none yet.

    Raises:
        ValueError: it cannot be read, or is damaged.
    """
    path = folder / FILE_NAME
    if not path.exists():
        return None
    if "cells" in read_json(path, "report"):
        return read_model(path, "report", RunReport, advice=ADVICE, version=2)
    return RunReport(cells=[read_model(path, "report", CellReport, advice=ADVICE)])


def load_reports(folders: list[Path]) -> list[RunReport]:
    """The reports of finished runs.

    Raises:
        ValueError: a folder without a report, or runs on different tasks or data.
    """
    reports: list[RunReport] = []
    for folder in folders:
        found = load_report(folder)
        if found is None:
            raise ValueError(f"run folder {folder}: has no {FILE_NAME}: it is not finished, or no run folder")
        reports.append(found)
    same = ("task", "data", "preset", "init", "original", "target")
    cells = [report.cells for report in reports]
    different = [name for name in same if len({tuple(getattr(cell, name) for cell in run) for run in cells}) > 1]
    if len({tuple(row.name for row in run[0].rows) for run in cells}) > 1:
        different.append("rows")
    if different:
        raise ValueError(f"these runs cannot be pooled: they differ in {', '.join(different)}")
    if len({report.seed for report in reports}) < len(reports):
        raise ValueError("these runs cannot be pooled: two of them have the same seed, so the same reporting units")
    return reports


def pooled_differences(reports: Sequence[CellReport], *, mode: bool = False) -> dict[str, Interval]:
    """Discovered minus every row over the units of all runs, which are on the same tasks and data.

    Runs count as fixed: the interval is over units, and says nothing of searches that were not made.
    """

    def pooled(name: str) -> np.ndarray:
        rows = [report.row(name) for report in reports]
        return np.concatenate([np.asarray(row.mode if mode else row.sampled) for row in rows])

    ours = pooled(reports[0].rows[-1].name)
    return {row.name: paired_difference(ours, pooled(row.name)) for row in reports[0].rows[:-1]}


def make_report(
    config: CellConfig,
    constants: tuple[float, float, float],
    names: list[str],
    scores: ComparisonReturns,
    cell: TunedCell | None,
) -> CellReport:
    """A cell's table from a comparison's normalised scores.

    Args:
        constants: return of the original and of the target agent, which are scores 0 and 1, and of the original's
            mode actions.
        names: candidates of the comparison, start and discovered last.
    """
    rows = [
        Row(
            name=name,
            note=_note(name, config, cell),
            sampled=[float(x) for x in scores.sampled[place]],
            mode=[float(x) for x in scores.mode[place]],
            clamped=float(scores.clamped[place].mean()),
        )
        for place, name in enumerate(names)
    ]
    return CellReport(
        task=config.task, data=config.data, preset=config.preset, init=str(config.init),
        units=config.report.units, seed=config.seed, original=constants[0], target=constants[1],
        original_mode=constants[2], rows=rows,
    )  # fmt: skip


def _note(name: str, config: CellConfig, cell: TunedCell | None) -> str:
    if name == "start":
        own = config.init.is_saved or config.reference is False
        return f"{config.init}, where the search began" if own else f"{config.init} with a reference"
    if name == "discovered":
        return "the search mean"
    if cell is None or name not in cell.objectives:
        return "published settings: not tuned on this task"
    found: dict[str, Any] = cell.objectives[name].settings
    settings = ", ".join(f"{key}={value:g}" for key, value in found.items()) or "default"
    rate, epochs = cell.objectives[name].learning_rate, cell.sft_epochs_of(name, config.inner.epochs)
    settings += "" if rate is None else f", learning rate {rate:g}"
    settings += "" if epochs is None else f", {epochs} SFT epochs"
    fits = cell.fits(config.data, config.rows, config.inner)
    return settings if fits else f"{settings} (tuned on {cell.conditions()})"
