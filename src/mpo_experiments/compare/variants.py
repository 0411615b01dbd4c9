"""Searches that differ in some of their settings, each repeated with several seeds, on the same fresh units.

Strategies at equal cost, or ablations: with and without time, with some of the maps alone. Every search is a run folder
of its own, so that a comparison can be left and gone on with. Our own protocol, not the paper's.
"""

import dataclasses
import re
from pathlib import Path

import numpy as np

from adapters.storage.objective_paths import CARD_NAME
from mpo_core.evaluation.statistics import Interval, mean_interval, stratified_bootstrap
from mpo_core.names import shortened
from mpo_experiments.benchmark.cell import BenchmarkCell, BenchmarkSettings, CellKey, Entry
from mpo_experiments.benchmark.folder import BenchmarkFolder
from mpo_experiments.benchmark.run import run_benchmark
from mpo_experiments.discovery.queue import check_search, search_in
from mpo_experiments.objectives.learned import learned_start
from mpo_experiments.objectives.named import NamedObjective
from mpo_experiments.objectives.saved import register_file
from mpo_experiments.progress import Reporter
from mpo_experiments.settings.budget import search_loops, search_updates
from mpo_experiments.settings.nested import parse_override
from mpo_experiments.settings.run_config import RunConfig, build_single_run, check_overrides

SHARED = frozenset({"task", "data", "preset", "seed", "init", "report"})
"""What options of the command say, or the comparison itself."""
NAME = re.compile(r"[\w -]{1,60}")


@dataclasses.dataclass(frozen=True)
class Variant:
    """A kind of search."""

    name: str
    overrides: tuple[str, ...]
    """Its settings over those that all have, such as "strategy.name=snes"."""

    @property
    def slug(self) -> str:
        """Its name as part of a folder's."""
        return self.name.replace(" ", "-")


@dataclasses.dataclass(frozen=True)
class VariantSettings:
    """What is compared, on what, and how often."""

    key: CellKey
    variants: tuple[Variant, ...]
    repeats: int
    init: NamedObjective
    search_seed: int
    """Of the first repeat; the others have the numbers after it."""
    benchmark: BenchmarkSettings
    """How everything is reported; its objectives are the hand-written ones beside."""
    overrides: tuple[str, ...] = ()

    def config(self, variant: Variant, repeat: int) -> RunConfig:
        """The configuration of a search.

        Raises:
            ValueError: one sentence: what, where, what is allowed.
        """
        own = {
            "task": self.key.task, "data": self.key.data, "preset": self.benchmark.preset, "init": self.init,
            "seed": self.search_seed + repeat, "report": {"units": 2},
        }  # fmt: skip
        layers = [parse_override(text) for text in (*self.overrides, *variant.overrides)]
        for layer in layers:
            for name in layer.keys() & SHARED:
                raise ValueError(f"setting {name!r} is the same in all searches and has an option of its own")
        try:
            config = build_single_run(own, *layers)
            check_overrides(layers[len(self.overrides) :], config.strategy)
            return config
        except ValueError as error:
            raise ValueError(f"variant {shortened(variant.name)!r}: {error}") from None


@dataclasses.dataclass(frozen=True)
class VariantScores:
    """What the searches of a variant found, on the reporting units."""

    variant: Variant
    scores: np.ndarray
    """Normalised score of each repeat on each unit, sampled actions."""
    mode: np.ndarray
    """The same, mode actions."""
    jobs: int
    """Inner loops a search, those that score its mean and start left out."""
    updates: int
    """Updates of these."""

    @property
    def by_search(self) -> Interval:
        """Mean over searches, each the mean of its units, with the interval of Student's t over searches."""
        return mean_interval(self.scores.mean(1))

    @property
    def by_unit(self) -> Interval:
        """Inter-quartile mean over these very searches, units resampled within each."""
        return stratified_bootstrap(self.scores)


class VariantComparison:
    """A folder with `runs/<variant>-<seed>/` and a benchmark of what they found under `cells/`."""

    def __init__(self, path: Path, settings: VariantSettings, reporter: Reporter):
        self.path, self.settings, self.reporter = path, settings, reporter

    def run(self) -> tuple[BenchmarkCell, list[VariantScores]]:
        """All searches, from where they were left, and their table's scores."""
        settings = self.settings
        for repeat in range(settings.repeats):  # so that an unfinished comparison has all variants equally often
            for variant in settings.variants:
                path = self.run_path(variant, repeat)
                if not (path / CARD_NAME).is_file():
                    self.reporter.note(f"{variant.name}: search {repeat + 1} of {settings.repeats}")
                search_in(path, settings.config(variant, repeat), self.reporter)
        found = [register_file(path) for path in self._paths()]
        cell = run_benchmark([settings.key], self._benchmark(found), BenchmarkFolder(self.path), self.reporter)[0]
        return cell, [self._scores(variant, cell) for variant in settings.variants]

    def _benchmark(self, found: list[str]) -> BenchmarkSettings:
        """How what was found is reported, beside the hand-written objectives."""
        own = self.settings.benchmark
        return dataclasses.replace(own, objectives=(*own.objectives, *found))

    def check(self) -> None:
        """Refuses starts that no search can begin with, and a folder with searches of other settings.

        Raises:
            ValueError: unknown objective, or not in the class; or a run or the cell is damaged, or was made with other
                settings.
        """
        for variant in self.settings.variants:
            config = self.settings.config(variant, 0)
            learned_start(config.init, config.temporal, config.reference)
            for repeat in range(self.settings.repeats):
                check_search(self.run_path(variant, repeat), self.settings.config(variant, repeat))
        there = [register_file(path) for path in self._paths() if (path / CARD_NAME).is_file()]
        BenchmarkFolder(self.path).begun(self.settings.key, self._benchmark(there))

    def run_path(self, variant: Variant, repeat: int) -> Path:
        """The run folder of a search."""
        return self.path / "runs" / f"{variant.slug}-{self.settings.search_seed + repeat}"

    def _paths(self) -> list[Path]:
        return [
            self.run_path(variant, repeat)
            for variant in self.settings.variants
            for repeat in range(self.settings.repeats)
        ]

    def _scores(self, variant: Variant, cell: BenchmarkCell) -> VariantScores:
        by_id = {entry.id: entry for entry in cell.objectives}
        found = [by_id[str(self.run_path(variant, repeat))] for repeat in range(self.settings.repeats)]
        config = self.settings.config(variant, 0).cells()[0]
        sampled, mode = (np.array([getattr(one, kind) for one in found], float) for kind in ("sampled", "mode"))
        return VariantScores(variant, sampled, mode, search_loops(config), search_updates(config))


def parse_variant(text: str) -> Variant:
    """`no time: temporal=false search.networks=false` as a variant.

    Raises:
        ValueError: no colon, no name, or something that is not NAME=VALUE.
    """
    name, colon, settings = text.partition(":")
    if not colon or not NAME.fullmatch(name.strip()):
        raise ValueError(
            f"--variant {shortened(text)!r}: write it as 'NAME: SETTING=VALUE ...', such as 'snes: strategy.name=snes'"
            "; a name has letters, digits, blanks, '-' and '_'"
        )
    for one in settings.split():
        parse_override(one)
    return Variant(name.strip(), tuple(settings.split()))


def beside(cell: BenchmarkCell, settings: VariantSettings) -> list[Entry]:
    """The entries of a cell that are none of the searches'."""
    return [entry for entry in cell.objectives if entry.id in settings.benchmark.objectives]
