"""The final table of a run: every objective's normalised score on the reporting units, and paired differences."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pydantic

from adapters.storage.files import read_json
from adapters.storage.sealed import read_model, write_sealed
from mpo_core.evaluation.comparison import ComparisonReturns
from mpo_core.evaluation.statistics import Interval, mean_interval, paired_difference
from mpo_experiments.objectives.lookup import is_path
from mpo_experiments.settings.run_config import RunConfig
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


class Report(pydantic.BaseModel):
    """What a run found, on units that neither search nor tuning has seen."""

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
    def _is_whole(self) -> "Report":
        names = [row.name for row in self.rows]
        if tuple(names[-2:]) != LAST_ROWS or len(names) < 3 or len(set(names)) < len(names):
            raise ValueError(f"its rows are not hand-written objectives, then {' and '.join(LAST_ROWS)}")
        if any(len(scores) != self.units for row in self.rows for scores in (row.sampled, row.mode)):
            raise ValueError(f"a row has not one score for each of {self.units} units")
        return self

    @property
    def cells(self) -> "list[Report]":
        """The combinations of task and data: this one."""
        return [self]

    def overall(self) -> "Report":
        """What the run says in one table: this one."""
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

    def difference(self, other: str) -> Interval:
        """Discovered minus another row, paired by unit."""
        return paired_difference(np.asarray(self.rows[-1].sampled), np.asarray(self.row(other).sampled))

    def save(self, folder: Path) -> None:
        """report.json in the run folder."""
        write_sealed(folder / FILE_NAME, self.model_dump(mode="json"))

    @classmethod
    def load(cls, folder: Path) -> "Report | None":
        """The report of a finished run on one combination of task and data; None if there is none yet.

        Raises:
            ValueError: it cannot be read, or is damaged.
        """
        path = folder / FILE_NAME
        return read_model(path, "report", cls, advice=ADVICE) if path.exists() else None


class SeveralReports(pydantic.BaseModel):
    """What a run on several combinations of task and data found, each on its own units."""

    model_config = pydantic.ConfigDict(extra="forbid")

    schema_version: Literal[2] = 2
    """1 are reports on one combination."""
    cells: list[Report] = pydantic.Field(min_length=2)

    @pydantic.model_validator(mode="after")
    def _belong_together(self) -> "SeveralReports":
        if len({cell.title for cell in self.cells}) < len(self.cells):
            raise ValueError("it holds a combination of task and data twice")
        if len({(cell.units, cell.seed, tuple(row.name for row in cell.rows)) for cell in self.cells}) > 1:
            raise ValueError("its combinations do not have the same rows, units and seed")
        return self

    @property
    def seed(self) -> int:
        """Seed of the run."""
        return self.cells[0].seed

    def overall(self) -> Report:
        """The mean over the combinations, unit by unit: intervals are over units.

        The units of the combinations with the same number share seeds, so they are averaged first and not counted as
        so many independent ones.
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
        return Report(
            task=tasks, data=kinds, preset=first.preset, init=first.init, units=first.units, seed=first.seed,
            original=0.0, target=1.0, rows=rows,
        )  # fmt: skip

    def save(self, folder: Path) -> None:
        """report.json in the run folder."""
        write_sealed(folder / FILE_NAME, self.model_dump(mode="json"))


RunReport = Report | SeveralReports
"""What report.json of a run holds."""


def whole_report(cells: Sequence[Report]) -> RunReport:
    """The report of a run from those of its combinations of task and data."""
    return cells[0] if len(cells) == 1 else SeveralReports(cells=list(cells))


def load_report(folder: Path) -> RunReport | None:
    """The report of a finished run; None if there is none yet.

    Raises:
        ValueError: it cannot be read, or is damaged.
    """
    path = folder / FILE_NAME
    if not path.exists():
        return None
    if read_json(path, "report").get("schema_version") != 2:
        return Report.load(folder)
    return read_model(path, "report", SeveralReports, advice=ADVICE, version=2)


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


def pooled_differences(reports: Sequence[Report]) -> dict[str, Interval]:
    """Discovered minus every row over the units of all runs, which are on the same tasks and data.

    Runs count as fixed: the interval is over units, and says nothing of searches that were not made.
    """

    def pooled(name: str) -> np.ndarray:
        return np.concatenate([np.asarray(report.row(name).sampled) for report in reports])

    ours = pooled(reports[0].rows[-1].name)
    return {row.name: paired_difference(ours, pooled(row.name)) for row in reports[0].rows[:-1]}


def make_report(
    config: RunConfig,
    constants: tuple[float, float, float],
    names: list[str],
    scores: ComparisonReturns,
    cell: TunedCell | None,
) -> Report:
    """The table from a comparison's normalised scores.

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
    return Report(
        task=config.task, data=config.data, preset=config.preset, init=config.init,
        units=config.report.units, seed=config.seed, original=constants[0], target=constants[1],
        original_mode=constants[2], rows=rows,
    )  # fmt: skip


def _note(name: str, config: RunConfig, cell: TunedCell | None) -> str:
    if name == "start":
        own = is_path(config.init) or config.reference is False
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
