"""Ranking hand-written objectives on kinds of data: a cell is one task with one kind of data and one token width.

In a cell every objective gets the same random search on tuning units, and its best setting meets the others on
reporting units (docs/protocol.md).
"""

import dataclasses
import time
from typing import Any, Literal

import pydantic

from adapters.arena import FAILED_SCORE, Arena, race_settings
from adapters.config import RunConfig, build_config
from adapters.provenance import agents_hash, devices, versions
from adapters.tuned import TunedCell
from adapters.tuning import TuningSettings, tune
from adapters.watch import Watch
from mpo_core.catalogue import catalogue_entry, make_objective
from mpo_core.race import Entrant
from mpo_core.seeds import Stream

DEFAULT_IDS = ("sft", "dpo", "ipo", "simpo", "orpo", "r_dpo", "cpo", "slic_hf", "kto", "rrhf", "tempo")
"""The ten baselines of the paper's comparison, and our reconstruction of its TeMPO."""
DEFAULT_WIDTH = 0.1


@dataclasses.dataclass(frozen=True)
class CellKey:
    """Where objectives are compared."""

    task: str
    data: str
    """In canonical form."""
    bin_width: float = DEFAULT_WIDTH

    def __str__(self) -> str:
        width = "" if self.bin_width == DEFAULT_WIDTH else f", bin width {self.bin_width:g}"
        return f"{self.task}, {self.data}{width}"


@dataclasses.dataclass(frozen=True)
class BenchmarkSettings:
    """How objectives are compared, alike in every cell."""

    objectives: tuple[str, ...] = DEFAULT_IDS
    budget: int = 16
    """Settings an objective, its published default among them."""
    tuning_units: int = 4
    units: int = 12
    """Reporting units."""
    preset: str = "quick"
    seed: int = 0

    def command(self, key: CellKey) -> str:
        """What runs one cell again."""
        return (
            f"mpo benchmark --task {key.task} --data {key.data} --objectives {','.join(self.objectives)} "
            f"--budget {self.budget} --tuning-units {self.tuning_units} --units {self.units} --preset {self.preset} "
            f"--seed {self.seed} --bin-width {key.bin_width:g}"
        )

    def config(self, key: CellKey) -> RunConfig:
        """Rows, inner loop and evaluation of a cell."""
        return build_config({"task": key.task, "data": key.data, "preset": self.preset, "seed": self.seed})


class Entry(pydantic.BaseModel):
    """One objective in a cell."""

    model_config = pydantic.ConfigDict(extra="forbid")

    id: str
    settings: dict[str, float]
    sft_epochs: int
    tried: int
    tuning_score: float
    """Mean normalised score of these settings on the tuning units: the highest of those tried, so an optimistic one."""
    sees: list[str]
    """What it reads beside log-probs that a learner may not have: rewards, groups."""
    sampled: list[float]
    """Normalised score on each reporting unit, sampled actions."""
    mode: list[float]
    clamped: float
    """Share of trajectories, over all updates, whose mean token log-prob lay above the clamp of logits."""

    @property
    def failed(self) -> int:
        """Units on which training or physics blew up."""
        return sum(score == FAILED_SCORE for score in self.sampled)


class Cell(pydantic.BaseModel):
    """A finished cell: what was run, and what came of it."""

    model_config = pydantic.ConfigDict(extra="forbid")

    schema_version: Literal[1] = 1
    task: str
    data: str
    bin_width: float
    command: str
    config: dict[str, Any]
    """Rows, inner loop and evaluation."""
    provenance: dict[str, Any]
    seconds: dict[str, float]
    original: float
    target: float
    """Return of the two agents (sampled actions): normalised scores 0 and 1."""
    ranges: dict[str, dict[str, list[float]]]
    objectives: list[Entry]

    @property
    def key(self) -> CellKey:
        """Where it was run."""
        return CellKey(self.task, self.data, self.bin_width)

    @property
    def units(self) -> int:
        """Reporting units."""
        return len(self.objectives[0].sampled)


def tune_cell(arena: Arena, key: CellKey, settings: BenchmarkSettings, watch: Watch) -> TunedCell:
    """The random search of every objective on the tuning units."""
    race = race_settings(settings.config(key), Stream.TUNING, settings.tuning_units, mode_actions=False)
    return tune(arena, settings.objectives, TuningSettings(settings.budget, race), settings.command(key), watch)


def report_cell(arena: Arena, key: CellKey, settings: BenchmarkSettings, tuned: TunedCell, watch: Watch) -> Cell:
    """The tuned objectives on the reporting units."""
    began = time.monotonic()
    config = settings.config(key)
    found = [(id, tuned.objectives[id]) for id in settings.objectives]
    entrants = [Entrant(make_objective(id, **best.settings), best.sft_epochs) for id, best in found]
    scores = arena.race(entrants, race_settings(config, Stream.REPORTING, settings.units), watch)
    entries = [
        Entry(
            id=id, settings=best.settings, sft_epochs=best.sft_epochs, tried=best.tried, tuning_score=best.score,
            sees=sees(id), sampled=scores.sampled[place].tolist(), mode=scores.mode[place].tolist(),
            clamped=float(scores.clamped[place].mean()),
        )
        for place, (id, best) in enumerate(found)
    ]  # fmt: skip
    low, high = arena.constants(config.report.evaluation.horizon)
    return Cell(
        task=key.task, data=key.data, bin_width=key.bin_width, command=settings.command(key),
        config=cell_config(config), seconds={"reporting": round(time.monotonic() - began, 1)},
        provenance={
            "agents": agents_hash(key.task), "backend": arena.task.backend, "versions": versions(),
            "devices": devices(),
        },
        original=low, target=high, ranges=tuned.ranges, objectives=entries,
    )  # fmt: skip


def cell_config(config: RunConfig) -> dict[str, Any]:
    """What a cell takes from a configuration."""
    parts = {"rows": config.rows, "inner": config.inner, "evaluation": config.report.evaluation}
    return {name: dataclasses.asdict(part) for name, part in parts.items()}


def sees(id: str) -> list[str]:
    """What an objective reads that a learner may not have."""
    entry = catalogue_entry(id)
    return [what for what in ("rewards", "groups") if getattr(entry, f"sees_{what}")]
