"""What a run is made from: one schema for the command line, `--config FILE` and the run folder's config.json."""

import dataclasses
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pydantic
import yaml

from adapters.evosax.settings import StrategySettings
from adapters.storage.files import parse_json, read_text
from adapters.storage.sealed import SEAL, check_version, first_fault, unsealed
from mpo_core.data.specification import parse_data_spec
from mpo_core.names import shortened, unknown_name
from mpo_core.settings import EvaluationSettings, InnerLoopSettings, RowSettings
from mpo_experiments.objectives.named import ObjectiveSetting, parse_objective
from mpo_experiments.settings.nested import leaves, merged
from mpo_experiments.settings.presets import PRESETS, preset_settings
from mpo_experiments.settings.search_settings import SearchSettings
from mpo_experiments.tasks.registry import task_spec

SCHEMA_VERSION = 1
LARGEST_UNITS = 10_000

PER_TASK = ("rows", "inner", "search.bank_pairs", "search.episodes", "search.horizon", "report.evaluation")
"""What may differ between the tasks of one search; a name stands for all that is in it."""


class _Model(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)


class ReportSettings(_Model):
    """The final table: replication units on the reporting stream, and how each policy is judged."""

    units: int = pydantic.Field(default=12, ge=2, le=LARGEST_UNITS)
    evaluation: EvaluationSettings = EvaluationSettings()


class RunConfig(_Model):
    """Everything needed to repeat a run."""

    schema_version: Literal[1] = SCHEMA_VERSION
    task: str
    """One task, or several joined by commas."""
    data: str = "mixed:0.75"
    """One data specification, or several joined by commas: a search is then on every combination with a task."""
    preset: str = "quick"
    init: ObjectiveSetting = parse_objective("orpo")
    temporal: bool = True
    reference: bool | None = None
    """Whether the objective has a reference policy; None: it has, but a file as `init` keeps its own."""
    seed: int = pydantic.Field(default=0, ge=0, lt=2**31)
    rows: RowSettings = RowSettings()
    inner: InnerLoopSettings = InnerLoopSettings()
    search: SearchSettings = SearchSettings()
    strategy: StrategySettings = StrategySettings()
    report: ReportSettings = ReportSettings()
    per_task: dict[str, dict[str, Any]] = {}
    """Settings that are others for a task: {"hopper": {"rows": {"length": 400}}}."""
    provenance: dict[str, Any] = {}
    """Versions, devices and hashes of the run that wrote the file; ignored when it is read to start another."""

    @pydantic.field_validator("task")
    @classmethod
    def _known_task(cls, task: str) -> str:
        return ",".join(_several("task", task.split(","), lambda name: task_spec(name).name))

    @pydantic.field_validator("data")
    @classmethod
    def _canonical_data(cls, data: str) -> str:
        return ",".join(_several("data", split_data(data), lambda text: str(parse_data_spec(text))))

    @property
    def tasks(self) -> list[str]:
        """The tasks."""
        return self.task.split(",")

    @property
    def kinds(self) -> list[str]:
        """The kinds of data."""
        return split_data(self.data)

    @property
    def several(self) -> bool:
        """Whether the search is on more than one combination of task and kind of data."""
        return len(self.tasks) * len(self.kinds) > 1

    @property
    def title(self) -> str:
        """What it is on, in a few words."""
        return f"{', '.join(self.tasks)} x {', '.join(self.kinds)}" if self.several else f"{self.task}, {self.data}"

    def cells(self) -> list["RunConfig"]:
        """The configuration of every combination of a task and a kind of data, those of a task side by side."""
        if not self.several and not self.per_task:
            return [self]
        base = self.model_dump(exclude={"per_task", "provenance"})
        return [
            RunConfig.model_validate(merged(base, self.per_task.get(task, {})) | {"task": task, "data": data})
            for task in self.tasks
            for data in self.kinds
        ]

    @pydantic.model_validator(mode="after")
    def _cells_are_sound(self) -> "RunConfig":
        for task, changes in self.per_task.items():
            if task not in self.tasks:
                raise unknown_name("task in 'per_task'", task, self.tasks)
            for name in leaves(changes):
                if not any(f"{name}.".startswith(f"{allowed}.") for allowed in PER_TASK):
                    raise unknown_name("setting in 'per_task'", name, PER_TASK)
        if self.several or self.per_task:
            try:
                self.cells()
            except pydantic.ValidationError as error:
                raise ValueError(one_sentence(error)) from None
        return self

    @pydantic.model_validator(mode="after")
    def _bank_gives_rows(self) -> "RunConfig":
        if self.several:  # each combination is asked by itself
            return self
        spec = parse_data_spec(self.data)
        if self.inner.minibatch > self.rows.count:
            raise ValueError(f"inner.minibatch ({self.inner.minibatch}) must be at most rows.count ({self.rows.count})")
        held, wanted = spec.kind_counts(self.search.bank_pairs), spec.kind_counts(self.rows.count)
        if any(want > have for want, have in zip(wanted, held, strict=True)):
            raise ValueError(
                f"search.bank_pairs ({self.search.bank_pairs}) must be at least rows.count ({self.rows.count})"
            )
        return self


def build_config(*layers: dict[str, Any], several: bool = False) -> RunConfig:
    """A configuration from layers, later ones over earlier ones, all over the preset that they name.

    What a preset changes for a task holds for that task alone; where there are several, it goes to `per_task`, but for
    what the layers name themselves.

    Args:
        several: whether there may be several tasks and kinds of data, joined by commas.

    Raises:
        ValueError: one sentence: what, where, what is allowed.
    """
    settings: dict[str, Any] = {}
    for layer in layers:
        settings = merged(settings, layer)
    preset = settings.get("preset", "quick")
    if not isinstance(preset, str) or preset not in PRESETS:
        raise unknown_name("preset", preset if isinstance(preset, str) else type(preset).__name__, PRESETS)
    try:
        config = RunConfig.model_validate(merged(preset_settings(preset, settings), settings))
    except pydantic.ValidationError as error:
        raise ValueError(one_sentence(error)) from None
    if config.several and not several:
        raise ValueError(
            f"task {shortened(config.task)!r}, data {shortened(config.data)!r}: only `mpo meta-train` takes several, "
            "here it is one task and one kind of data"
        )
    return config


def split_data(text: str) -> list[str]:
    """The data specifications in a text; the commas within `pairs:oo=A,ot=B` belong to it."""
    found: list[str] = []
    for part in text.split(","):
        before, equals, _ = part.partition("=")
        if found and equals and ":" not in before:
            found[-1] += f",{part}"
        else:
            found.append(part)
    return found


def _several(what: str, parts: list[str], canonical: Callable[[str], str]) -> list[str]:
    """The canonical forms of parts that were joined by commas.

    Raises:
        ValueError: one is empty, or there twice, or not known.
    """
    if len(parts) > 1 and not all(part.strip() for part in parts):
        raise ValueError(f"{what} {shortened(','.join(parts))!r}: there is nothing between two commas, or at an end")
    found = [canonical(part.strip() if len(parts) > 1 else part) for part in parts]
    for place, name in enumerate(found):
        if name in found[:place]:
            raise ValueError(f"{what} {shortened(','.join(parts))!r}: names {name!r} twice")
    return found


def read_config_file(path: Path) -> dict[str, Any]:
    """The settings in a YAML or JSON file (config.json of a run folder, or a part of it).

    Raises:
        ValueError: one sentence: the file is missing, unreadable, changed since it was written, or something else.
    """
    settings = _read(path)
    settings.pop("provenance", None)
    return settings


def read_run_config(path: Path) -> RunConfig:
    """The configuration of a run, with its provenance.

    Raises:
        ValueError: one sentence, as for any config file.
    """
    settings = _read(path)
    provenance = settings.pop("provenance", {})
    if not isinstance(provenance, dict) or not isinstance(provenance.get("resumed", []), list):
        raise ValueError(f"config file {path}: its 'provenance' is not what a run writes")
    try:
        return build_config(settings, several=True).model_copy(update={"provenance": provenance})
    except ValueError as error:
        raise ValueError(f"config file {path}: {error}") from None


def _read(path: Path) -> dict[str, Any]:
    text, where = read_text(path, "config file"), f"config file {path}"
    try:
        value = parse_json(text) if path.suffix == ".json" else yaml.safe_load(text)
    except (ValueError, RecursionError, TypeError, yaml.YAMLError) as error:  # impossible dates are bare ValueErrors
        mark = getattr(error, "problem_mark", None)
        line = f" at line {mark.line + 1}" if mark else ""
        raise ValueError(f"{where}: is not valid {'JSON' if path.suffix == '.json' else 'YAML'}{line}") from None
    if not isinstance(value, dict) or not all(isinstance(name, str) for name in value):
        raise ValueError(f"{where}: must hold settings by name, such as 'task: halfcheetah'")
    check_version(value, where, SCHEMA_VERSION)
    return unsealed(value, where, advice=f"if you changed it on purpose, remove its line {SEAL!r}")


def one_sentence(error: pydantic.ValidationError) -> str:
    """The first complaint of a validation error: where and why."""
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    if first["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        *group, name = (str(part) for part in first["loc"])
        return str(unknown_name(f"{'.'.join(group)} setting".strip(), name, _settings_of(group)))
    if first["type"] == "missing":
        return f"'{where}' is not given: name it on the command line or in the config file"
    return first["msg"].removeprefix("Value error, ") if first["type"] == "value_error" else first_fault(error)


def _settings_of(group: list[str]) -> list[str]:
    """The names in a group of settings, such as ["report", "evaluation"]."""
    kind: Any = RunConfig
    for part in group:
        kind = typing.get_type_hints(kind)[part]
    return list(kind.model_fields) if issubclass(kind, _Model) else [field.name for field in dataclasses.fields(kind)]
