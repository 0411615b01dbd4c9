"""Settings of the hand-written objectives, tuned per task and kind of data under one budget for all.

The files in `bundled/tuned/` were written by `mpo tune`; `MPO_TUNED_DIR` names a folder of one's own, looked up first.
"""

import dataclasses
import os
from pathlib import Path
from typing import Any, Literal

import pydantic

from adapters.storage.files import slug
from adapters.storage.sealed import read_model, write_sealed
from mpo_core.settings import InnerLoopSettings, RowSettings
from mpo_experiments.tuning.plan import Method
from mpo_experiments.tuning.searched import SearchedRange

BUNDLED = Path(__file__).parent.parent / "bundled" / "tuned"
TUNED_DIR_VARIABLE = "MPO_TUNED_DIR"
DEFAULT_DATA = "mixed:0.75"
BASELINES = ("sft", "dpo", "orpo", "simpo", "cpo", "tempo")
"""Objectives that a run's table has beside the discovered one, and that are tuned unless told otherwise."""


class TunedObjective(pydantic.BaseModel):
    """The best of an objective's random search, and what it scored on the tuning units."""

    model_config = pydantic.ConfigDict(extra="forbid")

    settings: dict[str, pydantic.FiniteFloat]
    sft_epochs: pydantic.NonNegativeInt
    score: pydantic.FiniteFloat
    low: pydantic.FiniteFloat
    high: pydantic.FiniteFloat
    tried: pydantic.PositiveInt
    """Settings tried, the published default among them."""
    learning_rate: pydantic.PositiveFloat | None = None
    """Of the inner loop, where it was tuned; None: that of the preset."""
    loops: pydantic.PositiveInt | None = None
    """Inner loops that its tuning took; None in files of before they were counted."""
    searched: dict[str, SearchedRange] = {}
    """Range of every setting that was searched; empty in files of before."""


class TunedCell(pydantic.BaseModel):
    """All objectives on one task and kind of data."""

    model_config = pydantic.ConfigDict(extra="forbid")

    schema_version: Literal[1] = 1
    task: str
    data: str
    command: str
    settings: dict[str, Any] | None = None
    """Of the benchmark that had it tuned; None for `mpo tune`, and in files of earlier versions."""
    units: int
    ranges: dict[str, dict[str, list[float]]]
    """Range searched of every setting, after scaling to this task's tokens and after it was extended."""
    method: Method = "fixed"
    """How the settings were searched; `fixed` in files of before there was another method."""
    tune: list[str] = []
    """What of the inner loop was tuned beside the objectives' own settings."""
    updates_a_loop: pydantic.PositiveInt | None = None
    provenance: dict[str, Any]
    objectives: dict[str, TunedObjective]

    @pydantic.model_validator(mode="after")
    def _settings_are_known(self) -> "TunedCell":
        from mpo_core.losses.catalogue import make_objective, objective_ids  # loads JAX

        for id, found in self.objectives.items():
            if id in objective_ids():  # others are of plug-ins that are not there
                make_objective(id, **found.settings)
        return self

    def fits(self, data: str, rows: RowSettings, inner: InnerLoopSettings) -> bool:
        """Whether it was tuned on such data, with such an inner loop."""
        asked = {"rows": dataclasses.asdict(rows), "inner": inner.recorded()}
        return self.data == data and all(self.provenance.get(name) == value for name, value in asked.items())

    def sft_epochs_of(self, id: str, epochs: int) -> int | None:
        """SFT epochs that an objective was tuned with, in a schedule of another length; None: they were not tuned."""
        found = self.objectives.get(id)
        if found is None or "schedule" not in self.tune:
            return None
        return min(round(found.sft_epochs * epochs / self.provenance["inner"]["epochs"]), epochs - 1)

    def conditions(self) -> str:
        """On what it was tuned, in a few words."""
        rows = self.provenance.get("rows")
        size = f", {rows.get('count')} rows of {rows.get('length')}" if isinstance(rows, dict) else ""
        return f"{self.data}{size}"


def epochs_before(cell: TunedCell | None, id: str, epochs: int) -> int:
    """SFT epochs of an objective: those that it was tuned with, if they were tuned, or else its own."""
    from mpo_core.losses.catalogue import catalogue_entry  # loads JAX

    tuned = None if cell is None else cell.sft_epochs_of(id, epochs)
    return catalogue_entry(id).sft_epochs_of(epochs) if tuned is None else tuned


def save_tuned(folder: Path, cell: TunedCell) -> Path:
    """Writes a cell; returns its file."""
    path = tuned_file(folder, cell.task, cell.data)
    write_sealed(path, cell.model_dump(mode="json"))
    return path


def tuned_file(folder: Path, task: str, data: str) -> Path:
    """Where the settings of a task and a kind of data are, in a folder."""
    return folder / task / f"{slug(data)}.json"


def read_tuned(path: Path) -> TunedCell:
    """A cell from its file.

    Raises:
        ValueError: one sentence: it cannot be read, or is damaged.
    """
    return read_model(path, "tuned settings", TunedCell, advice="write them anew with `mpo tune`")


def load_tuned(task: str, data: str) -> TunedCell | None:
    """The cell of a task and kind of data, or else the task's `mixed:0.75`; None where neither was tuned.

    Raises:
        ValueError: its file cannot be read, is damaged, or is of another task or kind of data.
    """
    own = os.environ.get(TUNED_DIR_VARIABLE)
    folders = ([Path(own)] if own else []) + [BUNDLED]
    for wanted in (data, DEFAULT_DATA):
        for folder in folders:
            path = tuned_file(folder, task, wanted)
            if path.is_file():
                found = read_tuned(path)
                if (found.task, found.data) != (task, wanted):
                    raise ValueError(
                        f"tuned settings {path}: are of {found.task}, {found.data}, not of {task}, {wanted}"
                    )
                return found
    return None
