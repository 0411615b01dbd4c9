"""The queue of discoveries: in every cell a static and a temporal search, then both against the tuned zoo.

A cell is one task with one kind of data. Its searches start from the hand-written member of the class that tuning found
best; what they find meets all tuned objectives on fresh units of the reporting stream (docs/protocol.md). Every part is
on disk as soon as it is done, so that the queue can be left and gone on with.
"""

import dataclasses
import re
from pathlib import Path

from adapters.storage.files import slug
from adapters.storage.objective_paths import CARD_NAME
from adapters.storage.run_folder import CONFIG_NAME, RunFolder
from mpo_core.losses.members import as_mirror, member_ids
from mpo_core.losses.named_loss import NamedLoss
from mpo_core.settings import UnusableSetting
from mpo_experiments.benchmark.cell import (
    BenchmarkCell,
    BenchmarkSettings,
    CellKey,
    Choice,
    Entry,
)
from mpo_experiments.benchmark.folder import ELSE, BenchmarkFolder
from mpo_experiments.benchmark.measure import cell_choices
from mpo_experiments.benchmark.run import run_benchmark
from mpo_experiments.objectives.named import NamedObjective
from mpo_experiments.objectives.saved import objective_hash, register_file
from mpo_experiments.progress import Reporter
from mpo_experiments.provenance import agents_hash
from mpo_experiments.runs.folder import open_run
from mpo_experiments.search.meta_train import MetaTraining
from mpo_experiments.settings.nested import parse_override
from mpo_experiments.settings.run_config import RunConfig, build_single_run, check_overrides, read_run_config

FORMS = ("static", "temporal")
OF_THE_CELL = frozenset({"task", "data", "preset", "seed", "init", "temporal"})
"""Settings that the cell, its tuning and the options of the command say of every search."""


@dataclasses.dataclass(frozen=True)
class DiscoverySettings:
    """What is done in every cell."""

    forms: tuple[str, ...]
    zoo: BenchmarkSettings
    """How the hand-written objectives are (or were) tuned and everything is reported."""
    search_seed: int
    overrides: tuple[str, ...] = ()
    """Settings of the searches over those of the preset, such as "search.generations=60"."""
    searches: int = 1
    """Searches of each form in a cell; their seeds follow `search_seed`."""

    def config(self, key: CellKey, form: str, start: str, search: int = 0) -> RunConfig:
        """The configuration of a search.

        Args:
            search: which of a cell's, from 0.

        Raises:
            ValueError: one sentence: what, where, what is allowed.
        """
        own = {
            "task": key.task, "data": key.data, "preset": self.zoo.preset, "init": start,
            "temporal": form == "temporal", "seed": self.search_seed + search, "report": {"units": 2},
        }  # fmt: skip
        layers = [parse_override(text) for text in self.overrides]
        for name in sorted(OF_THE_CELL & {name for layer in layers for name in layer}):
            raise ValueError(
                f"--set {name}: what this is in a search follows from its cell and the command's own options"
            )
        config = build_single_run(own, *layers)
        check_overrides(layers, config.strategy)
        return config


class Discovery:
    """A folder with `runs/<task>-<data>-<form>/` and, of each cell, a benchmark under `cells/`."""

    def __init__(self, path: Path, settings: DiscoverySettings, reporter: Reporter):
        self.path, self.settings, self.reporter = path, settings, reporter

    def cell(self, key: CellKey) -> BenchmarkCell:
        """One cell, from where it was left."""
        zoo = self._tuned_zoo(key)
        choices = cell_choices(BenchmarkFolder(Path(zoo.tuned_from or "")).borrowed(key, zoo))
        found = []
        for form, search in self.each_search():
            start, path = best_start(choices, form), self.run_path(key, form, search)
            self.reporter.note(f"{key}: {form} search from {start}{self._which(search)}")
            search_in(path, self.settings.config(key, form, start, search), self.reporter)
            found.append(register_file(path))
        benchmark = dataclasses.replace(zoo, objectives=(*choices, *found))
        return run_benchmark([key], benchmark, BenchmarkFolder(self.path), self.reporter)[0]

    def finished(self, key: CellKey) -> BenchmarkCell | None:
        """A cell that is done; None if it is not.

        Raises:
            ValueError: it, its zoo or one of its searches is damaged, or was made with other settings.
        """
        zoo = self.settings.zoo
        if zoo.tuned_from is None:
            BenchmarkFolder(self.path / "zoo").begun(key, zoo)
        for form, search in self.each_search():
            path = self.run_path(key, form, search)
            if (path / CONFIG_NAME).is_file():
                start = str(read_run_config(path / CONFIG_NAME).init)
                check_search(path, self.settings.config(key, form, start, search))
        cell = BenchmarkFolder(self.path).any_cell(key)
        if cell is None:
            self._check_starts(key)
        else:
            self._check_cell(cell)
        return cell

    def _check_starts(self, key: CellKey) -> None:
        """Refuses searches of a cell under way that began elsewhere than where its tuned objectives have them begin."""
        zoo = BenchmarkFolder(self._zoo_path).any_cell(key)
        if zoo is None:
            return
        for form, search in self.each_search():
            start, path = best_start(cell_choices(zoo), form), self.run_path(key, form, search)
            check_search(path, self.settings.config(key, form, start, search))

    @property
    def _zoo_path(self) -> Path:
        """Where the hand-written objectives were, or are to be, tuned."""
        return Path(self.settings.zoo.tuned_from or self.path / "zoo")

    def _check_cell(self, cell: BenchmarkCell) -> None:
        """Refuses a cell of other settings, tuned objectives or searches; its folder, and that of the tuned zoo, may
        have moved."""
        ids = tuple(entry.id for entry in cell.objectives)
        wanted = dataclasses.replace(self.settings.zoo, objectives=ids, tuned_from=None)

        def compared(settings: BenchmarkSettings) -> BenchmarkSettings:
            return settings if self.settings.zoo.tuned_from is None else settings.without_tuning()

        same = (
            cell.settings is not None
            and compared(dataclasses.replace(cell.settings, tuned_from=None)) == compared(wanted)
            and cell.config == wanted.config(cell.key).recorded()
            and cell.provenance.get("agents") == agents_hash(cell.task, cell.data)
        )
        if not same:
            raise ValueError(f"{self.path}: its cell of {cell.key} was made with other settings or agents; {ELSE}")
        borrowed = dataclasses.replace(self.settings.zoo, tuned_from=str(self._zoo_path))
        BenchmarkFolder(self.path).check_borrowed(cell.key, cell, borrowed)
        by_name = {Path(entry.id).name: entry.sha256 for entry in cell.objectives if entry.sha256 is not None}
        asked = {self.run_path(cell.key, *one).name for one in self.each_search()}
        for form in self.settings.forms:
            more = [Path(entry.id).name for entry in found_entries(cell, form) if Path(entry.id).name not in asked]
            if more:
                raise ValueError(
                    f"{self.path}: its cell of {cell.key} has {more[0]}, a search more than are asked for: "
                    f"give --search-seeds as it was, or {ELSE}"
                )
        for form, search in self.each_search():
            own = self.run_path(cell.key, form, search)
            there = (own / CARD_NAME).is_file()
            if not there or by_name.get(own.name) != objective_hash(register_file(own)):
                raise ValueError(f"{self.path}: its cell of {cell.key} was made without {own}, or with another; {ELSE}")

    def _tuned_zoo(self, key: CellKey) -> BenchmarkSettings:
        """The hand-written objectives are tuned here, unless they were before."""
        zoo = self.settings.zoo
        if zoo.tuned_from is None:
            own = self.path / "zoo"
            run_benchmark([key], zoo, BenchmarkFolder(own), self.reporter)
            zoo = dataclasses.replace(zoo, tuned_from=str(own))
        return zoo

    def each_search(self) -> list[tuple[str, int]]:
        """Form and number of every search of a cell: all forms once, then all again."""
        return [(form, search) for search in range(self.settings.searches) for form in self.settings.forms]

    def run_path(self, key: CellKey, form: str, search: int = 0) -> Path:
        """The run folder of a search; the first has no number, as where there is but one."""
        again = f"-s{self.settings.search_seed + search}" if search else ""
        return self.path / "runs" / f"{key.task}-{slug(key.data)}-{form}{again}"

    def _which(self, search: int) -> str:
        searches = self.settings.searches
        return "" if searches == 1 else f", {search + 1} of {searches}"


def search_in(path: Path, config: RunConfig, reporter: Reporter) -> None:
    """A search in a run folder of its own, from where it was left; a folder that has a configuration keeps it."""
    folder = RunFolder(path)
    path.mkdir(parents=True, exist_ok=True)
    if (path / CONFIG_NAME).is_file():
        folder, config = open_run(path)
    folder.lock()
    try:
        MetaTraining(folder, config, reporter).run()
    finally:
        folder.unlock()


def check_search(path: Path, config: RunConfig) -> None:
    """Refuses a run folder with a search of other settings; one that is not there yet is fine.

    Raises:
        ValueError: its configuration is damaged, or another.
    """
    if not (path / CONFIG_NAME).is_file():
        return
    there = read_run_config(path / CONFIG_NAME)
    if there.model_copy(update={"provenance": {}}) != config:
        raise ValueError(f"run {path}: was made with other settings; {ELSE}")
    (cell,) = config.cells()
    if there.provenance.get("agents_sha256") not in (None, agents_hash(cell.task, ",".join(config.kinds))):
        raise ValueError(f"run {path}: was made with other agents; {ELSE}")


def found_entries(cell: BenchmarkCell, form: str) -> list[Entry]:
    """What the searches of a form found, in a cell."""
    name = re.compile(rf"-{form}(-s\d+)?$")
    return [entry for entry in cell.objectives if entry.sha256 is not None and name.search(entry.id)]


def best_start(choices: dict[str, Choice], form: str) -> str:
    """The tuned hand-written objective with the highest tuning score that a search of this form can start from.

    One on mean token log-probs where there is such a one: the networks of maps of whole trajectories have no frame.

    Raises:
        UnusableSetting: there is none.
    """
    allowed = [id for id in choices if id in member_ids() and (form == "temporal" or not _sees_progress(id))]
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


def _sees_progress(id: str) -> bool:
    """Whether a loss sees training progress itself: no static search starts from such a one."""
    return NamedObjective(id, NamedLoss(id)).temporal
