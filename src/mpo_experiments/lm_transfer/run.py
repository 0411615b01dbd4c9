"""Running a transfer experiment: tuning, then reporting; trials that are on disk are read."""

import dataclasses
from collections.abc import Callable, Mapping

import numpy as np

from mpo_core.seeds import Stream
from mpo_experiments.benchmark.cell import DEFAULT_WIDTH, BenchmarkCell, Entry
from mpo_experiments.lm_transfer.folder import TransferFolder, identity
from mpo_experiments.lm_transfer.settings import Outcome, TransferSettings, Trial, WorldCard
from mpo_experiments.lm_transfer.tuning import Candidate, candidates, searched
from mpo_experiments.objectives.named import NamedObjective
from mpo_experiments.progress import Reporter
from mpo_experiments.versions import LANGUAGE, versions

TASK = "reviews"
Run = Callable[[Trial], Outcome]
Found = dict[Trial, Outcome]


@dataclasses.dataclass(frozen=True)
class TransferCell:
    """One kind of data: what the suite's tables show of it, and what they do not."""

    cell: BenchmarkCell
    ended: Mapping[str, float]
    """Share of an objective's reviews that its models brought to an end themselves."""
    words: Mapping[str, float]
    """Their mean length."""


class Experiment:
    """The trials of an experiment over its kinds of data."""

    def __init__(self, folder: TransferFolder, settings: TransferSettings, world: WorldCard, kinds: tuple[str, ...]):
        self._folder, self._settings, self._world, self.kinds = folder, settings, world, kinds
        tokens = (world.original["words"] + world.target["words"]) / 2 + 1  # and the token that ends a review
        self._tokens = tokens
        self._candidates = {
            objective: candidates(objective, settings.budget, tokens, seed=settings.seed)
            for objective in settings.objectives
        }

    def run(self, run: Run, reporter: Reporter) -> list[TransferCell]:
        """Runs what is missing, one kind of data after the other: tuning, then reporting."""
        cells = []
        for place, data in enumerate(self.kinds):
            reporter.note(f"kind of data {place + 1} of {len(self.kinds)}: {data}")
            tuned = self._run_all("tuning", self._tuning_trials(data), run, reporter)
            best = self._best(data, tuned)
            reported = self._run_all("reporting", self._reporting_trials(data, best), run, reporter)
            cells.append(self._cell(data, best, tuned, reported))
        return cells

    def finished(self) -> list[TransferCell]:
        """The kinds of data of which every trial is on disk."""
        cells = []
        for data in self.kinds:
            tuned = self._read(self._tuning_trials(data))
            best = None if tuned is None else self._best(data, tuned)
            reported = None if best is None else self._read(self._reporting_trials(data, best))
            if tuned is not None and best is not None and reported is not None:
                cells.append(self._cell(data, best, tuned, reported))
        return cells

    def _tuning_trials(self, data: str) -> list[Trial]:
        every = [one for choices in self._candidates.values() for one in choices]
        return _trials(data, every, Stream.TUNING, self._settings.tuning_units)

    def _reporting_trials(self, data: str, best: Mapping[NamedObjective, Candidate]) -> list[Trial]:
        return _trials(data, list(best.values()), Stream.REPORTING, self._settings.units)

    def _run_all(self, title: str, trials: list[Trial], run: Run, reporter: Reporter) -> Found:
        found = {trial: one for trial in trials if (one := self._outcome(trial)) is not None}
        if len(found) < len(trials):
            reporter.stage(title, len(trials), "model", done=len(found))
        for trial in trials:
            if trial not in found:
                found[trial] = run(trial)
                self._folder.save(found[trial], trial, self._settings, self._world)
                reporter.advance(1)
        return found

    def _read(self, trials: list[Trial]) -> Found | None:
        found = {trial: self._outcome(trial) for trial in trials}
        there = {trial: one for trial, one in found.items() if one is not None}
        return there if len(there) == len(found) else None

    def _outcome(self, trial: Trial) -> Outcome | None:
        return self._folder.outcome(trial, self._settings, self._world)

    def _best(self, data: str, tuned: Found) -> dict[NamedObjective, Candidate]:
        """Of every objective's candidates the one with the highest mean score on the tuning units."""
        return {
            objective: max(choices, key=lambda one: np.mean(self._scores(one, data, Stream.TUNING, tuned)))
            for objective, choices in self._candidates.items()
        }

    def _scores(self, one: Candidate, data: str, stream: Stream, found: Found, kind: str = "sampled") -> list[float]:
        units = self._settings.tuning_units if stream is Stream.TUNING else self._settings.units
        return [getattr(found[trial], kind) for trial in _trials(data, [one], stream, units)]

    def _cell(self, data: str, best: Mapping[NamedObjective, Candidate], tuned: Found, reported: Found) -> TransferCell:
        def mean(kind: str) -> dict[str, float]:
            return {
                str(objective): float(np.mean(self._scores(one, data, Stream.REPORTING, reported, kind)))
                for objective, one in best.items()
            }

        settings, world = self._settings, self._world
        cell = BenchmarkCell(
            task=TASK, data=data, bin_width=DEFAULT_WIDTH, command=settings.command((data,)),
            config=dataclasses.asdict(settings.sizes),
            provenance={"versions": versions(LANGUAGE), "weights": world.weights},
            seconds={"training": sum(one.seconds for one in reported.values())},
            original=world.original["sampled"], target=world.target["sampled"],
            ranges={
                str(objective): {one.name: [one.low, one.high] for one in searched(objective, self._tokens)}
                for objective in settings.objectives
            },
            objectives=[self._entry(objective, best[objective], data, tuned, reported) for objective in best],
        )  # fmt: skip
        return TransferCell(cell, mean("ended"), mean("words"))

    def _entry(self, objective: NamedObjective, best: Candidate, data: str, tuned: Found, reported: Found) -> Entry:
        of_it = (one for trial, one in reported.items() if (trial.data, trial.objective) == (data, best.objective))
        return Entry(
            id=str(objective), settings=best.settings, sft_epochs=next(of_it).sft_epochs,
            tried=len(self._candidates[objective]),
            tuning_score=float(np.mean(self._scores(best, data, Stream.TUNING, tuned))), sees=[],
            sampled=self._scores(best, data, Stream.REPORTING, reported),
            mode=self._scores(best, data, Stream.REPORTING, reported, "mode"),
            clamped=0.0, sha256=identity(objective) if objective.is_saved else None,
        )  # fmt: skip


def _trials(data: str, every: list[Candidate], stream: Stream, units: int) -> list[Trial]:
    """Trials in an order in which those that share pairs, and those that share an SFT phase, are neighbours."""
    ordered = sorted(every, key=lambda one: one.learning_rate)
    return [Trial(data, one.objective, one.learning_rate, stream, unit) for unit in range(units) for one in ordered]
