"""What a benchmark compares, where and how, and what a finished cell holds; needs no simulator."""

import dataclasses
from typing import Any, Literal

import pydantic

from mpo_core.settings import FAILED_SCORE
from mpo_experiments.settings.command import read_command, written_command
from mpo_experiments.settings.run_config import CellConfig, build_config
from mpo_experiments.tuning.plan import Method
from mpo_experiments.tuning.searched import SearchedRange
from mpo_experiments.tuning.tuned import TunedCell

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
    rows: int | None = None
    """Pairs a unit; None: as many as in the preset."""

    def __str__(self) -> str:
        width = "" if self.bin_width == DEFAULT_WIDTH else f", bin width {self.bin_width:g}"
        return f"{self.task}, {self.data}{width}" + ("" if self.rows is None else f", {self.rows} pairs")

    def as_json(self) -> dict[str, Any]:
        """Without what is as in the preset."""
        return {name: value for name, value in dataclasses.asdict(self).items() if value is not None}


@dataclasses.dataclass(frozen=True)
class Choice:
    """What tuning chose for one objective."""

    settings: dict[str, float]
    sft_epochs: int
    tried: int
    score: float
    """Mean normalised score on the tuning units."""
    learning_rate: float | None = None
    loops: int | None = None
    searched: dict[str, SearchedRange] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class BenchmarkSettings:
    """How objectives are compared, alike in every cell."""

    __pydantic_config__ = {"extra": "forbid"}

    objectives: tuple[str, ...] = DEFAULT_IDS
    budget: int = 16
    """Settings an objective, its published default among them."""
    tuning_units: int = 4
    units: int = 12
    """Reporting units."""
    preset: str = "quick"
    seed: int = 0
    tuned_from: str | None = None
    """A benchmark's folder: the objectives in its cell keep the settings that were found there."""
    method: Method = "halving"
    """How settings are searched."""
    tune: tuple[str, ...] = ()
    """What of the inner loop is tuned beside the objectives' own settings."""

    def command(self, key: CellKey) -> str:
        """What runs one cell again."""
        options = dataclasses.asdict(key) | dataclasses.asdict(self) | {"tune": self.tune or None}
        options["tuning"] = options.pop("method")
        return written_command("benchmark", options)

    def without_tuning(self) -> "BenchmarkSettings":
        """It without what it says of tuning: all there is to compare where tuned settings are borrowed."""
        return dataclasses.replace(self, method="fixed", tune=(), tuned_from=None)

    def config(self, key: CellKey) -> CellConfig:
        """Rows, inner loop and evaluation of a cell."""
        given = {"task": key.task, "data": key.data, "preset": self.preset, "seed": self.seed}
        return build_config(given if key.rows is None else given | {"rows": {"count": key.rows}})


_SETTINGS = pydantic.TypeAdapter(BenchmarkSettings)


def recorded_settings(command: str) -> BenchmarkSettings | None:
    """The settings in the command of a file that was written before settings were stored; None if there are none.

    The order of its options, and those that have their default, make no difference.
    """
    found = read_command(command, "benchmark")
    if found is None:
        return None
    given = {name: value for name, value in found.items() if name not in ("task", "data", "bin_width", "rows")}
    given["method"] = given.pop("tuning", "fixed")  # what there was before it was an option
    for name in given.keys() & {"objectives", "tune"}:
        given[name] = given[name].split(",")
    try:
        return _SETTINGS.validate_python(given)
    except pydantic.ValidationError:
        return None


def tuned_with(tuned: TunedCell) -> BenchmarkSettings | None:
    """The settings of the benchmark that tuned objectives; None where none did."""
    return recorded_settings(tuned.command) if tuned.settings is None else _SETTINGS.validate_python(tuned.settings)


class Entry(pydantic.BaseModel):
    """One objective in a cell."""

    model_config = pydantic.ConfigDict(extra="forbid")

    id: str
    settings: dict[str, pydantic.FiniteFloat]
    sft_epochs: int
    tried: int
    tuning_score: pydantic.FiniteFloat
    """Mean normalised score of these settings on the tuning units: the highest of those tried, so an optimistic one."""
    learning_rate: pydantic.PositiveFloat | None = None
    """Of the inner loop, where it was tuned; None: that of the preset."""
    loops: pydantic.PositiveInt | None = None
    """Inner loops that its tuning took; None in cells of before they were counted."""
    searched: dict[str, SearchedRange] = {}
    """Range of every setting that was searched; empty in cells of before, which have `ranges` alone."""
    sees: list[str]
    """What it reads beside log-probs that a learner may not have: rewards, groups."""
    sampled: list[pydantic.FiniteFloat]
    """Normalised score on each reporting unit, sampled actions."""
    mode: list[pydantic.FiniteFloat]
    clamped: pydantic.FiniteFloat
    """Share of trajectories, over all updates, whose mean token log-prob lay above the clamp of logits."""
    sha256: str | None = None
    """Of the card of an objective that was learned and saved; None for a hand-written one."""

    @property
    def failed(self) -> int:
        """Units on which training or physics blew up."""
        return sum(score == FAILED_SCORE for score in self.sampled)


class BenchmarkCell(pydantic.BaseModel):
    """A finished cell: what was run, and what came of it."""

    model_config = pydantic.ConfigDict(extra="forbid")

    schema_version: Literal[1] = 1
    task: str
    data: str
    bin_width: float
    rows: pydantic.PositiveInt | None = None
    """Pairs a unit, where it was asked for; None: as in the preset."""
    command: str
    """What runs it again, for people: nothing compares it."""
    settings: BenchmarkSettings | None = None
    """How it was made; of a cell of an earlier version, what its command says. None where no benchmark wrote it."""
    config: dict[str, Any]
    """Rows, inner loop and evaluation."""
    provenance: dict[str, Any]
    seconds: dict[str, float]
    original: pydantic.FiniteFloat
    target: pydantic.FiniteFloat
    """Return of the two agents (sampled actions): normalised scores 0 and 1."""
    original_mode: pydantic.FiniteFloat | None = None
    """Return of the original agent's mode actions; None in cells of before it was kept."""
    ranges: dict[str, dict[str, list[float]]]
    method: Method = "fixed"
    """How settings were searched; `fixed` in cells of before there was another method."""
    objectives: list[Entry] = pydantic.Field(min_length=1)

    @pydantic.field_validator("command")
    @classmethod
    def _says_how_it_was_tuned(cls, command: str) -> str:
        return complete_command(command)

    @pydantic.model_validator(mode="before")
    @classmethod
    def _settings_of_its_command(cls, value: Any) -> Any:
        if isinstance(value, dict) and value.get("settings") is None and isinstance(value.get("command"), str):
            return value | {"settings": recorded_settings(value["command"])}
        return value

    @pydantic.model_validator(mode="after")
    def _is_whole(self) -> "BenchmarkCell":
        ids = [entry.id for entry in self.objectives]
        if len(set(ids)) < len(ids):
            raise ValueError("it holds an objective twice")
        if len({len(scores) for entry in self.objectives for scores in (entry.sampled, entry.mode)}) > 1:
            raise ValueError("its objectives do not have the same number of units")
        return self

    @property
    def key(self) -> CellKey:
        """Where it was run."""
        return CellKey(self.task, self.data, self.bin_width, self.rows)

    @property
    def units(self) -> int:
        """Reporting units."""
        return len(self.objectives[0].sampled)


def complete_command(command: str) -> str:
    """A cell's command; that of a benchmark of before `--tuning` was an option says what that did."""
    if " --tuning " in command or not command.startswith("mpo benchmark "):
        return command
    before, borrowed, folder = command.partition(" --tuned-from ")
    return f"{before} --tuning fixed{borrowed}{folder}"
