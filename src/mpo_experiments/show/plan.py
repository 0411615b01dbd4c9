"""What `mpo show` is asked for, checked before any work."""

import dataclasses
import re
from pathlib import Path
from typing import Any

from adapters.storage.run_folder import RunFolder
from mpo_experiments.agents.lookup import check_agents
from mpo_experiments.objectives.named import NamedObjective
from mpo_experiments.runs.folder import open_run
from mpo_experiments.runs.report import load_report
from mpo_experiments.settings.listed import named
from mpo_experiments.settings.run_config import CellConfig, RunConfig, build_config
from mpo_experiments.show.subject import Shown, find_subject, references

DEFAULTS = {"task": "halfcheetah", "data": "mixed:0.75", "preset": "quick"}
LOWEST, LEAST_LOW = -50.0, -0.1
"""What the lower end of a range may be, in mean token log-prob."""


@dataclasses.dataclass(frozen=True)
class ShowRequest:
    """As the command line has it; None where it says nothing."""

    objective: NamedObjective
    task: str | None = None
    data: str | None = None
    preset: str | None = None
    low: float | None = None
    """Instead of a task: the least mean token log-prob."""
    units: int | None = None
    """Units of the return curves; None: no curves."""
    seed: int = 0
    out: Path | None = None

    @property
    def elsewhere(self) -> bool:
        """Whether a run is to be looked at elsewhere than where it was made."""
        return any(value is not None for value in (self.task, self.data, self.preset, self.low))


@dataclasses.dataclass(frozen=True)
class ShowPlan:
    """A request with everything that it names."""

    request: ShowRequest
    subject: Shown
    references: tuple[Shown, ...]
    config: CellConfig | None
    """Task, data and sizes; None where only a range is given."""
    run: tuple[RunFolder, RunConfig] | None
    out: Path

    @property
    def shown(self) -> list[Shown]:
        """All objectives, the one in question first."""
        return [self.subject, *self.references]


def make_plan(request: ShowRequest) -> ShowPlan:
    """Finds what a request names.

    Raises:
        ValueError: one sentence: what, where, what is allowed.
    """
    _check_range(request)
    folder = request.objective.path or Path(request.objective.text)
    epochs_of = build_config(DEFAULTS).inner.epochs
    run = None
    if folder.is_dir() and (folder / "config.json").is_file():
        run = open_run(folder)
        load_report(folder)
        epochs_of = run[1].inner.epochs
    subject = find_subject(request.objective, epochs_of)
    config = None if request.low is not None else _config(request, subject, run[1] if run else None)
    if config is not None:
        if config.inner.epochs != epochs_of:
            subject = find_subject(request.objective, config.inner.epochs)
        check_agents(config.task, [config.data])
    out = request.out or (folder if run and not request.elsewhere else Path(f"show-{_slug(request.objective.text)}"))
    return ShowPlan(request, subject, references(config, subject), config, run, out)


def _check_range(request: ShowRequest) -> None:
    if request.low is None:
        return
    given = ("--task", request.task), ("--data", request.data), ("--preset", request.preset), ("--train", request.units)
    for option, value in given:
        if value is not None:
            raise ValueError(f"--range needs no simulator, so it does not go with {option}")
    if not LOWEST <= request.low <= LEAST_LOW:
        raise ValueError(
            f"--range {request.low:g}: the least mean token log-prob to show lies between {LOWEST:g} and {LEAST_LOW:g}"
        )


def _config(request: ShowRequest, subject: Shown, run: RunConfig | None) -> CellConfig:
    """A run's own task and sizes, or those of the card's task, or the default; whatever is asked for comes first."""
    if run is not None and not request.elsewhere:
        return run.cells()[0].model_copy(update={"seed": request.seed})
    known: dict[str, Any] = dict(subject.card["provenance"]) if subject.card else {}
    if run is not None:
        known = {name: getattr(run.cells()[0], name) for name in DEFAULTS}
    known = {
        name: value for name, value in known.items() if name in ("task", "data", "preset") and len(named(value)) == 1
    }
    asked = {name: getattr(request, name) for name in DEFAULTS if getattr(request, name) is not None}
    return build_config(DEFAULTS | known | asked | {"seed": request.seed})


def _slug(text: str) -> str:
    """An objective's text as a folder's name."""
    return re.sub(r"[^A-Za-z0-9._=-]+", "-", text).strip("-.")[-60:] or "objective"
