"""Running a transfer experiment: tuning, then reporting; trials that are on disk are read."""

import dataclasses
from collections.abc import Callable, Mapping

import numpy as np
from jaxtyping import Float

from mpo_core.seeds import Stream
from mpo_core.settings import UnusableSetting
from mpo_experiments.benchmark.cell import DEFAULT_WIDTH, BenchmarkCell, Entry
from mpo_experiments.lm_transfer.folder import TransferFolder, identity
from mpo_experiments.lm_transfer.settings import Outcome, TransferSettings, Trial, WorldCard
from mpo_experiments.lm_transfer.tuning import objective_search, rate_of, with_settings
from mpo_experiments.objectives.named import NamedObjective
from mpo_experiments.progress import Reporter, SilentReporter
from mpo_experiments.tuning.plan import plan_of
from mpo_experiments.tuning.setting_search import ObjectiveSearch, Setting, search_settings
from mpo_experiments.versions import LANGUAGE, versions

TASK = "english"
"""What the table's cells are called."""
Run = Callable[[Trial], Outcome]


@dataclasses.dataclass(frozen=True)
class TransferCell:
    """One kind of data: what the suite's tables show of it, and every trial of the reporting stream by objective."""

    cell: BenchmarkCell
    reported: Mapping[str, list[Outcome]]


class _NotRunError(Exception):
    """A trial is not on disk."""


class Experiment:
    """The trials of an experiment over its kinds of data."""

    def __init__(self, folder: TransferFolder, settings: TransferSettings, world: WorldCard, kinds: tuple[str, ...]):
        self._folder, self._settings, self._world, self.kinds = folder, settings, world, kinds
        self._objectives = {one.text: one for one in settings.objectives}
        self._plan = plan_of("halving", settings.budget, settings.tuning_units)

    def run(self, run: Run, reporter: Reporter) -> list[TransferCell]:
        """Runs what is missing, one kind of data after the other: tuning, then reporting.

        Raises:
            UnusableSetting: something is missing, and what is there was made with other versions of the libraries.
        """

        def checked(trial: Trial) -> Outcome:
            self._check_versions()
            return run(trial)

        cells = []
        for place, data in enumerate(self.kinds):
            reporter.note(f"kind of data {place + 1} of {len(self.kinds)}: {data}")
            cells.append(self._cell(data, checked, reporter))
        return cells

    def _check_versions(self) -> None:
        before, here = self._world.versions, versions(LANGUAGE)
        changed = next((name for name in LANGUAGE if before.get(name) != here[name]), None)
        if changed is not None:
            raise UnusableSetting(
                f"{self._folder.path}: its models were made with {changed} {before.get(changed)}, and here is "
                f"{here[changed]}, so nothing can be added to them here; choose another --out"
            )

    def finished(self) -> list[TransferCell]:
        """The kinds of data of which every trial is on disk."""
        cells = []
        for data in self.kinds:
            try:
                cells.append(self._cell(data, _not_run, SilentReporter()))
            except _NotRunError:
                continue
        return cells

    def _cell(self, data: str, run: Run, reporter: Reporter) -> TransferCell:
        settings, world = self._settings, self._world
        tokens = (world.original.tokens + world.target.tokens) / 2
        searches = [
            objective_search(one, tokens=tokens, epochs=settings.sizes.epochs, seed=settings.seed)
            for one in settings.objectives
        ]

        def score(tried: list[tuple[str, Setting]], units: range) -> Float[np.ndarray, "setting unit"]:
            found = self._run_all(data, tried, Stream.TUNING, units, run, reporter)
            return np.array([[one.sampled for one in outcomes] for outcomes in found])

        search_settings(searches, self._plan, score)
        best = [(search.id, search.best[0]) for search in searches]
        found = self._run_all(data, best, Stream.REPORTING, range(settings.units), run, reporter)
        reported = dict(zip(self._objectives, found, strict=True))
        cell = BenchmarkCell(
            task=TASK, data=data, bin_width=DEFAULT_WIDTH, command=settings.command((data,)),
            config=dataclasses.asdict(settings.sizes),
            provenance={"versions": world.versions, "weights": world.weights},
            seconds={"training": sum(one.seconds for outcomes in found for one in outcomes)},
            original=world.original.sampled, target=world.target.sampled, ranges={}, method="halving",
            objectives=[self._entry(one, reported[one.id]) for one in searches],
        )  # fmt: skip
        return TransferCell(cell, reported)

    def _run_all(
        self, data: str, tried: list[tuple[str, Setting]], stream: Stream, units: range, run: Run, reporter: Reporter
    ) -> list[list[Outcome]]:
        """Outcomes of settings, unit by unit. Trials that share pairs, and an SFT phase, are run one after another."""
        trials = [[self._trial(data, id, setting, stream, unit) for unit in units] for id, setting in tried]
        every = sorted({one for row in trials for one in row}, key=lambda one: (one.unit, one.learning_rate, str(one)))
        found = {one: there for one in every if (there := self._read(one)) is not None}
        if len(found) < len(every):
            reporter.stage(f"{data}: {stream.name.lower()}", len(every), "model", done=len(found))
        for one in every:
            if one not in found:
                found[one] = run(one)
                self._folder.save(found[one], one, self._settings, self._world)
                reporter.advance(1)
        return [[found[one] for one in row] for row in trials]

    def _trial(self, data: str, id: str, setting: Setting, stream: Stream, unit: int) -> Trial:
        objective = with_settings(self._objectives[id], setting)
        return Trial(data, objective, setting.sft_epochs, rate_of(setting), stream, unit)

    def _read(self, trial: Trial) -> Outcome | None:
        return self._folder.outcome(trial, self._settings, self._world)

    def _entry(self, search: ObjectiveSearch, reported: list[Outcome]) -> Entry:
        (setting, scores), objective = search.best, self._objectives[search.id]
        return Entry(
            id=search.id, settings=setting.values, sft_epochs=setting.sft_epochs, tried=search.tried,
            tuning_score=float(scores.mean()), learning_rate=rate_of(setting), loops=search.loops,
            searched=search.searched(), sees=[], clamped=0.0, 
            sampled=[one.sampled for one in reported], mode=[one.mode for one in reported],
            sha256=_identity_of_saved(objective),
        )  # fmt: skip


def _identity_of_saved(objective: NamedObjective) -> str | None:
    return identity(objective) if objective.is_saved else None


def _not_run(trial: Trial) -> Outcome:
    raise _NotRunError(trial)
