"""What a run is made from: one schema for the command line, `--config FILE` and the run folder's config.json."""

import dataclasses
import typing
from collections.abc import Iterable
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
from mpo_experiments.settings.listed import canonical_names, listed, split_data, split_tasks
from mpo_experiments.settings.nested import leaves, merged, truths_for_others
from mpo_experiments.settings.presets import PRESETS, preset_settings
from mpo_experiments.settings.search_settings import SearchSettings
from mpo_experiments.tasks.registry import task_spec

SCHEMA_VERSION = 2
OLDER_VERSIONS = (1,)
"""Of config files that are read as well."""
LARGEST_UNITS = 10_000

PER_TASK = ("rows", "inner", "search.bank_pairs", "search.episodes", "search.horizon", "report.evaluation")
"""What may differ between the tasks of one search; a name stands for all that is in it."""


class _Model(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, serialize_by_alias=True)


class ReportSettings(_Model):
    """The final table: replication units on the reporting stream, and how each policy is judged."""

    units: int = pydantic.Field(default=12, ge=2, le=LARGEST_UNITS)
    evaluation: EvaluationSettings = EvaluationSettings()


class _Settings(_Model):
    """What a run and each of its cells have in common."""

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


class CellConfig(_Settings):
    """One combination of a task and a kind of data, and the sizes that hold there."""

    task: str
    data: str
    """In canonical form."""

    @property
    def title(self) -> str:
        """What it is on, such as "halfcheetah, mixed:0.75"."""
        return f"{self.task}, {self.data}"

    def recorded(self) -> dict[str, Any]:
        """Rows, inner loop and evaluation, as files of results have them."""
        parts = {"rows": self.rows, "inner": self.inner, "evaluation": self.report.evaluation}
        return {name: dataclasses.asdict(part) for name, part in parts.items()} | {"inner": self.inner.recorded()}

    @pydantic.model_validator(mode="after")
    def _bank_gives_rows(self) -> "CellConfig":
        spec = parse_data_spec(self.data)
        if self.inner.minibatch > self.rows.count:
            raise ValueError(f"inner.minibatch ({self.inner.minibatch}) must be at most rows.count ({self.rows.count})")
        held, wanted = spec.kind_counts(self.search.bank_pairs), spec.kind_counts(self.rows.count)
        if any(want > have for want, have in zip(wanted, held, strict=True)):
            raise ValueError(
                f"search.bank_pairs ({self.search.bank_pairs}) must be at least rows.count ({self.rows.count})"
            )
        return self


class RunConfig(_Settings):
    """Everything needed to repeat a run: every one of its tasks meets every one of its kinds of data.

    In files and on the command line, tasks and kinds of data are called `task` and `data`: lists, or texts joined by
    commas.
    """

    schema_version: Literal[2] = SCHEMA_VERSION
    tasks: tuple[str, ...] = pydantic.Field(alias="task", min_length=1)
    kinds: tuple[str, ...] = pydantic.Field(default=("mixed:0.75",), alias="data", min_length=1)
    """Data specifications, in canonical form."""
    per_task: dict[str, dict[str, Any]] = {}
    """Settings that are others for a task: {"hopper": {"rows": {"length": 400}}}; empty where there is one task."""
    provenance: dict[str, Any] = {}
    """Versions, devices and hashes of the run that wrote the file; ignored when it is read to start another."""

    @pydantic.field_validator("tasks", mode="before")
    @classmethod
    def _split_tasks(cls, tasks: Any) -> Any:
        return listed("task", split_tasks(tasks))

    @pydantic.field_validator("kinds", mode="before")
    @classmethod
    def _split_kinds(cls, kinds: Any) -> Any:
        return listed("data", split_data(kinds) if isinstance(kinds, str) else kinds)

    @pydantic.field_validator("tasks")
    @classmethod
    def _known_tasks(cls, tasks: tuple[str, ...]) -> tuple[str, ...]:
        return canonical_names("task", tasks, lambda name: task_spec(name).name)

    @pydantic.field_validator("kinds")
    @classmethod
    def _canonical_kinds(cls, kinds: tuple[str, ...]) -> tuple[str, ...]:
        return canonical_names("data", kinds, lambda text: str(parse_data_spec(text)))

    @property
    def title(self) -> str:
        """What it is on, in a few words."""
        cells = self.cells()
        return cells[0].title if len(cells) == 1 else f"{', '.join(self.tasks)} x {', '.join(self.kinds)}"

    def cells(self) -> list[CellConfig]:
        """The configuration of every combination of a task and a kind of data, those of a task side by side."""
        base = self.model_dump(include=set(_Settings.model_fields))
        return [
            CellConfig.model_validate(merged(base, self.per_task.get(task, {})) | {"task": task, "data": data})
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
        try:
            self.cells()
        except pydantic.ValidationError as error:
            raise ValueError(one_sentence(error)) from None
        return self


def build_run(*layers: dict[str, Any]) -> RunConfig:
    """The configuration of a run from layers, later ones over earlier ones, all over the preset that they name.

    What a preset changes for a task holds for that task alone, but for what the layers name themselves.

    Raises:
        ValueError: one sentence: what, where, what is allowed.
    """
    settings: dict[str, Any] = {}
    for layer in layers:
        settings = merged(settings, layer)
    preset = settings.get("preset", "quick")
    if not isinstance(preset, str) or preset not in PRESETS:
        raise unknown_name("preset", preset if isinstance(preset, str) else type(preset).__name__, PRESETS)
    settings = merged(preset_settings(preset, settings), settings)
    try:
        config = RunConfig.model_validate(settings)
        if len(config.tasks) == 1 and config.per_task:  # what holds for the only task holds
            config = RunConfig.model_validate(merged(settings, config.per_task[config.tasks[0]]) | {"per_task": {}})
    except pydantic.ValidationError as error:
        raise ValueError(one_sentence(error)) from None
    _check_truths(settings, config)
    return config


def _check_truths(given: dict[str, Any], config: RunConfig) -> None:
    """Refuses true and false where a number or a name is wanted: as a number they would be 1 and 0."""
    found = truths_for_others({name: value for name, value in given.items() if name != "per_task"}, _dumped(config))
    for cell in config.cells():
        found += truths_for_others(given.get("per_task", {}).get(cell.task, {}), _dumped(cell))
    if found:
        raise ValueError(f"'{found[0]}': is true or false, but must be a number or a name")


def _dumped(config: _Settings) -> dict[str, Any]:
    return config.model_dump(mode="json")


def check_overrides(overrides: Iterable[dict[str, Any]], strategy: StrategySettings) -> None:
    """Refuses settings of a command line that its strategy does not take.

    Raises:
        ValueError: one sentence: which.
    """
    for layer in overrides:
        group = layer.get("strategy")
        for name in group if isinstance(group, dict) else ():
            if name in strategy.without_effect:
                raise ValueError(f"--set strategy.{name}: has no effect on strategy {strategy.name!r}: leave it out")


def build_single_run(*layers: dict[str, Any]) -> RunConfig:
    """The configuration of a run on one task and one kind of data.

    Raises:
        ValueError: as `build_run`, or there are several of either.
    """
    config = build_run(*layers)
    if len(config.tasks) * len(config.kinds) > 1:
        task, data = (shortened(",".join(names)) for names in (config.tasks, config.kinds))
        raise ValueError(
            f"task {task!r}, data {data!r}: only `mpo meta-train` takes several, "
            "here it is one task and one kind of data"
        )
    return config


def build_config(*layers: dict[str, Any]) -> CellConfig:
    """The configuration of one task with one kind of data, from layers as in `build_run`.

    Raises:
        ValueError: as `build_single_run`.
    """
    return build_single_run(*layers).cells()[0]


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
        return build_run(settings).model_copy(update={"provenance": provenance})
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
    check_version(value, where, SCHEMA_VERSION, older=OLDER_VERSIONS)
    found = unsealed(value, where, advice=f"if you changed it on purpose, remove its line {SEAL!r}")
    found.pop("schema_version", None)  # an older file says the same, its tasks and kinds of data joined by commas
    return found


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
    if issubclass(kind, _Model):
        return [field.alias or name for name, field in kind.model_fields.items()]
    return [field.name for field in dataclasses.fields(kind)]
