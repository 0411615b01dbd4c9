"""Settings of the hand-written objectives, tuned per task and kind of data under one budget for all.

The files in `bundled/tuned/` were written by `mpo tune`; `MPO_TUNED_DIR` names a folder of one's own, looked up first.
"""

import dataclasses
import os
from pathlib import Path
from typing import Any, Literal

import pydantic

from adapters.files import read_json, slug, write_json
from mpo_core.settings import InnerLoopSettings, RowSettings

BUNDLED = Path(__file__).parent / "bundled" / "tuned"
TUNED_DIR_VARIABLE = "MPO_TUNED_DIR"
DEFAULT_DATA = "mixed:0.75"


class TunedObjective(pydantic.BaseModel):
    """The best of an objective's random search, and what it scored on the tuning units."""

    model_config = pydantic.ConfigDict(extra="forbid")

    settings: dict[str, float]
    sft_epochs: int
    score: float
    low: float
    high: float
    tried: int
    """Settings tried, the published default among them."""


class TunedCell(pydantic.BaseModel):
    """All objectives on one task and kind of data."""

    model_config = pydantic.ConfigDict(extra="forbid")

    schema_version: Literal[1] = 1
    task: str
    data: str
    command: str
    units: int
    ranges: dict[str, dict[str, list[float]]]
    """Range searched of every setting, after scaling to this task's tokens."""
    provenance: dict[str, Any]
    objectives: dict[str, TunedObjective]

    def fits(self, data: str, rows: RowSettings, inner: InnerLoopSettings) -> bool:
        """Whether it was tuned on such data, with such an inner loop."""
        asked = {"rows": dataclasses.asdict(rows), "inner": dataclasses.asdict(inner)}
        return self.data == data and all(self.provenance.get(name) == value for name, value in asked.items())

    def conditions(self) -> str:
        """On what it was tuned, in a few words."""
        rows = self.provenance.get("rows", {})
        return f"{self.data}, {rows.get('count')} rows of {rows.get('length')}"


def save_tuned(folder: Path, cell: TunedCell) -> Path:
    """Writes a cell; returns its file."""
    path = folder / cell.task / f"{slug(cell.data)}.json"
    write_json(path, cell.model_dump(mode="json"))
    return path


def load_tuned(task: str, data: str) -> TunedCell | None:
    """The cell of a task and kind of data, or else the task's `mixed:0.75`; None where neither was tuned."""
    own = os.environ.get(TUNED_DIR_VARIABLE)
    folders = ([Path(own)] if own else []) + [BUNDLED]
    for wanted in (data, DEFAULT_DATA):
        for folder in folders:
            path = folder / task / f"{slug(wanted)}.json"
            if path.is_file():
                try:
                    return TunedCell.model_validate(read_json(path, "tuned settings"))
                except pydantic.ValidationError:
                    raise ValueError(f"tuned settings {path}: are damaged; write them anew with `mpo tune`") from None
    return None
