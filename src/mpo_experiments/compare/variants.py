"""Searches that differ in some of their settings, each repeated with several seeds, on the same fresh units.

Strategies at equal cost, or ablations: with and without time, with some of the maps alone. Every search is a run folder
of its own, so that a comparison can be left and gone on with. Our own protocol, not the paper's.
"""

import dataclasses
import re
from pathlib import Path

import numpy as np

from adapters.storage.files import write_json, write_whole
from adapters.storage.objective_paths import CARD_NAME
from mpo_core.evaluation.statistics import Interval, mean_interval, paired_difference, stratified_bootstrap
from mpo_core.names import shortened
from mpo_experiments.benchmark.cell import BenchmarkCell, BenchmarkSettings, CellKey, Entry
from mpo_experiments.benchmark.folder import BenchmarkFolder
from mpo_experiments.benchmark.run import run_benchmark
from mpo_experiments.benchmark.tables import interval_text, scores_table
from mpo_experiments.discovery.queue import check_search, search_in
from mpo_experiments.objectives.lookup import learned_start
from mpo_experiments.objectives.saved import register_file
from mpo_experiments.progress import Reporter
from mpo_experiments.settings.budget import search_loops
from mpo_experiments.settings.nested import parse_override
from mpo_experiments.settings.run_config import RunConfig, build_single_run
from mpo_experiments.text_table import TextTable

INTRODUCTION = (
    "Every search started from the same objective and was repeated with the same search seeds. What it found (its "
    "mean, never its best member) was run on units of the reporting stream, which all of them share and nothing had "
    "seen before."
)


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
    init: str
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
            return build_single_run(own, *layers)
        except ValueError as error:
            raise ValueError(f"variant {shortened(variant.name)!r}: {error}") from None


@dataclasses.dataclass(frozen=True)
class VariantScores:
    """What the searches of a variant found, on the reporting units."""

    variant: Variant
    scores: np.ndarray
    """Normalised score of each repeat on each unit, sampled actions."""
    jobs: int
    """Inner loops a search, those that score its mean and start left out."""

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
        found = [register_file(str(path)) for path in self._paths()]
        benchmark = dataclasses.replace(settings.benchmark, objectives=(*settings.benchmark.objectives, *found))
        cell = run_benchmark([settings.key], benchmark, BenchmarkFolder(self.path), self.reporter)[0]
        return cell, [self._scores(variant, cell) for variant in settings.variants]

    def check(self) -> None:
        """Refuses starts that no search can begin with, and a folder with searches of other settings.

        Raises:
            ValueError: unknown objective, or not in the class; or a run is damaged, or was made with other settings.
        """
        for variant in self.settings.variants:
            config = self.settings.config(variant, 0)
            learned_start(config.init, config.temporal, config.reference)
            for repeat in range(self.settings.repeats):
                check_search(self.run_path(variant, repeat), self.settings.config(variant, repeat))

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
        scores = [by_id[str(self.run_path(variant, repeat))].sampled for repeat in range(self.settings.repeats)]
        return VariantScores(
            variant, np.asarray(scores, float), search_loops(self.settings.config(variant, 0).cells()[0])
        )


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


def variants_table(found: list[VariantScores], others: list[Entry]) -> TextTable:
    """A line a variant, then one a hand-written objective."""
    rows = [
        (
            one.variant.name, interval_text(one.by_search), " ".join(f"{score:.2f}" for score in one.scores.mean(1)),
            interval_text(one.by_unit), _minus(one, found[0]), str(one.jobs),
        )
        for one in found
    ]  # fmt: skip
    for entry in others:
        by_unit = stratified_bootstrap(np.asarray(entry.sampled, float)[None])
        rows.append((entry.id, _mean(entry), "-", interval_text(by_unit), "-", "-"))
    columns = ("variant", "mean of searches", "each search", "IQM of units", _against(found), "inner loops")
    caption = (
        f"{_caption(found)}. Mean of searches: 95 % t interval over {len(found[0].scores)} searches; IQM of units: "
        "these searches as strata, 95 % bootstrap over units; differences paired by search seed."
    )
    return TextTable("Searches compared", columns, tuple(rows), caption)


def short_variants_table(found: list[VariantScores], others: list[Entry]) -> TextTable:
    """`variants_table` within 80 columns: the mean over searches, the difference and the cost."""
    rows = [(one.variant.name, interval_text(one.by_search), _minus(one, found[0]), str(one.jobs)) for one in found]
    rows += [(entry.id, _mean(entry), "-", "-") for entry in others]
    caption = (
        f"{_caption(found)}. Mean and 95 % t interval over {len(found[0].scores)} searches; loops: those of a search."
    )
    return TextTable("Searches compared", ("variant", "score", _against(found), "loops"), tuple(rows), caption)


def write_variants(
    folder: Path, cell: BenchmarkCell, found: list[VariantScores], table: TextTable, command: str
) -> list[Path]:
    """results.md, scores.csv and summary.json; returns the files, that for people first."""
    paths = [folder / name for name in ("results.md", "scores.csv", "summary.json")]
    settings = "\n".join(f"- {one.variant.name}: `{' '.join(one.variant.overrides) or '-'}`" for one in found)
    parts = [f"# Searches on {cell.key}", INTRODUCTION, f"    {command}", settings, table.markdown().rstrip()]
    write_whole(paths[0], ("\n\n".join(parts) + "\n").encode())
    write_whole(paths[1], scores_table([cell]).csv().encode())
    write_json(paths[2], {"command": command, "variants": [_summary(one) for one in found]})
    return paths


def beside(cell: BenchmarkCell, settings: VariantSettings) -> list[Entry]:
    """The entries of a cell that are none of the searches'."""
    return [entry for entry in cell.objectives if entry.id in settings.benchmark.objectives]


def _mean(entry: Entry) -> str:
    return f"{np.mean(entry.sampled):.2f}"


def _against(found: list[VariantScores]) -> str:
    return f"minus {found[0].variant.name}"


def _caption(found: list[VariantScores]) -> str:
    return f"Normalised score (original 0, target 1), sampled actions, {found[0].scores.shape[1]} units"


def _minus(one: VariantScores, first: VariantScores) -> str:
    if one is first:
        return "-"
    return interval_text(paired_difference(one.scores.mean(1), first.scores.mean(1)))


def _summary(one: VariantScores) -> dict[str, object]:
    return {
        "variant": one.variant.name, "overrides": list(one.variant.overrides), "inner_loops": one.jobs,
        "searches": one.scores.mean(1).tolist(), "by_search": dataclasses.asdict(one.by_search),
        "by_unit": dataclasses.asdict(one.by_unit),
    }  # fmt: skip
