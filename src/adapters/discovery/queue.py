"""The queue of discoveries: in every cell a static and a temporal search, then both against the tuned zoo.

A cell is one task with one kind of data. Its searches start from the hand-written member of the class that tuning found
best; what they find meets all tuned objectives on fresh units of the reporting stream (docs/protocol.md). Every part is
on disk as soon as it is done, so that the queue can be left and gone on with.
"""

import dataclasses
from pathlib import Path

from adapters.benchmark.cell import BenchmarkSettings, Cell, CellKey, Choice
from adapters.benchmark.folder import BenchmarkFolder
from adapters.benchmark.measure import cell_choices
from adapters.benchmark.run import run_benchmark
from adapters.config import RunConfig, build_config
from adapters.discovery.saved import register_file
from adapters.files import slug
from adapters.meta_train import MetaTraining
from adapters.nested_settings import parse_override
from adapters.objective_files import CARD_NAME
from adapters.run_folder import RunFolder
from adapters.watch import Watch
from mpo_core.mirror.members import as_mirror, member_ids
from mpo_core.settings import UnusableSetting

FORMS = ("static", "temporal")
TIMED = ("tempo",)
"""Closed forms that see training progress themselves: no static search starts from them."""


@dataclasses.dataclass(frozen=True)
class DiscoverySettings:
    """What is done in every cell."""

    forms: tuple[str, ...]
    zoo: BenchmarkSettings
    """How the hand-written objectives are (or were) tuned and everything is reported."""
    search_seed: int
    overrides: tuple[str, ...] = ()
    """Settings of the searches over those of the preset, such as "search.generations=60"."""

    def config(self, key: CellKey, form: str, start: str) -> RunConfig:
        """The configuration of a search.

        Raises:
            ValueError: one sentence: what, where, what is allowed.
        """
        own = {
            "task": key.task, "data": key.data, "preset": self.zoo.preset, "init": start,
            "temporal": form == "temporal", "seed": self.search_seed, "report": {"units": 2},
        }  # fmt: skip
        return build_config(own, *(parse_override(text) for text in self.overrides))


class Discovery:
    """A folder with `runs/<task>-<data>-<form>/` and, of each cell, a benchmark under `cells/`."""

    def __init__(self, path: Path, settings: DiscoverySettings, watch: Watch):
        self.path, self.settings, self.watch = path, settings, watch

    def cell(self, key: CellKey) -> Cell:
        """One cell, from where it was left."""
        zoo = self._tuned_zoo(key)
        choices = cell_choices(BenchmarkFolder(Path(zoo.tuned_from or "")).borrowed(key, zoo))
        found = []
        for form in self.settings.forms:
            start = best_start(choices, form)
            self.watch.note(f"{key}: {form} search from {start}")
            search_in(self.run_path(key, form), self.settings.config(key, form, start), self.watch)
            found.append(register_file(str(self.run_path(key, form))))
        benchmark = dataclasses.replace(zoo, objectives=(*choices, *found))
        return run_benchmark([key], benchmark, BenchmarkFolder(self.path), self.watch)[0]

    def finished(self, key: CellKey) -> Cell | None:
        """A cell that is done; None if it is not.

        Raises:
            ValueError: it, or one of its objectives, is damaged.
        """
        paths = [self.run_path(key, form) for form in self.settings.forms]
        if not all((path / CARD_NAME).is_file() for path in paths):
            return None
        for path in paths:
            register_file(str(path))
        return BenchmarkFolder(self.path).any_cell(key)

    def _tuned_zoo(self, key: CellKey) -> BenchmarkSettings:
        """The hand-written objectives are tuned here, unless they were before."""
        zoo = self.settings.zoo
        if zoo.tuned_from is None:
            own = self.path / "zoo"
            run_benchmark([key], zoo, BenchmarkFolder(own), self.watch)
            zoo = dataclasses.replace(zoo, tuned_from=str(own))
        return zoo

    def run_path(self, key: CellKey, form: str) -> Path:
        """The run folder of a search."""
        return self.path / "runs" / f"{key.task}-{slug(key.data)}-{form}"


def search_in(path: Path, config: RunConfig, watch: Watch) -> None:
    """A search in a run folder of its own, from where it was left; a folder that has a configuration keeps it."""
    folder = RunFolder(path)
    path.mkdir(parents=True, exist_ok=True)
    if (path / "config.json").is_file():
        folder, config = RunFolder.open(path)
    folder.lock()
    try:
        MetaTraining(folder, config, watch).run()
    finally:
        folder.unlock()


def best_start(choices: dict[str, Choice], form: str) -> str:
    """The tuned hand-written objective with the highest tuning score that a search of this form can start from.

    One on mean token log-probs where there is such a one: the networks of maps of whole trajectories have no frame.

    Raises:
        UnusableSetting: there is none.
    """
    allowed = [id for id in choices if id in member_ids() and (form == "temporal" or id not in TIMED)]
    members = {id: as_mirror(id, **choices[id].settings) for id in allowed}
    monotone = [id for id, member in members.items() if member.monotone]
    on_means = [id for id in monotone if {members[id].bracket, members[id].imitation} == {"mean"}]
    if not monotone:
        raise UnusableSetting(
            f"no {form} search can start from {', '.join(choices)}: "
            "add one of the class whose maps increase, such as orpo"
        )
    best = max(on_means or monotone, key=lambda id: choices[id].score)
    settings = ",".join(f"{name}={value:g}" for name, value in choices[best].settings.items())
    return f"{best}:{settings}" if settings else best
