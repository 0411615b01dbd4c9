"""The search of settings itself: rounds of successive halving for all objectives together, ranges that follow winners.

It knows neither tasks nor training: whoever calls it scores settings on tuning units.
"""

import dataclasses
from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from mpo_experiments.tuning.plan import Plan, survivors
from mpo_experiments.tuning.ranges import SettingRange
from mpo_experiments.tuning.searched import SearchedRange

LEARNING_RATE, SFT_EPOCHS = "inner.learning_rate", "inner.sft_epochs"
"""Settings of the inner loop that `--tune` adds to those of an objective, by their names in a configuration."""
RATE_FACTOR = 10.0
RATE_DOMAIN = (1e-7, 1.0)


def rate_range(rate: float) -> SettingRange:
    """Where a learning rate is searched first, around that of the configuration; alike for every objective."""
    return SettingRange(
        LEARNING_RATE, rate / RATE_FACTOR, rate * RATE_FACTOR, log=True, domain=RATE_DOMAIN, coarse=True
    )


@dataclasses.dataclass(frozen=True)
class Setting:
    """One way to train with an objective."""

    values: dict[str, float]
    """Of the objective's settings, those that are not at their published default."""
    sft_epochs: int
    learning_rate: float | None = None
    """None: that of the configuration."""

    def value(self, name: str, default: float) -> float:
        """What it says of a setting that is searched."""
        if name == SFT_EPOCHS:
            return float(self.sft_epochs)
        found = self.learning_rate if name == LEARNING_RATE else self.values.get(name)
        return default if found is None else found


Tried = list[tuple[str, Setting]]
"""Settings of objectives, by id."""
Score = Callable[[Tried, range], Float[np.ndarray, "setting unit"]]
"""Normalised scores of settings of objectives on a range of tuning units."""


class ObjectiveSearch:
    """What is known of one objective's settings: ranges, what was tried, and the scores of what went all the way."""

    def __init__(
        self, id: str, default: Setting, defaults: dict[str, float], ranges: list[SettingRange],
        generator: np.random.Generator,
    ):  # fmt: skip
        self.id, self.ranges = id, ranges
        self.tried, self.loops = 0, 0
        self.default, self._defaults, self._generator = default, defaults, generator
        self._whole: list[tuple[Setting, Float[np.ndarray, " unit"]]] = []

    def draw(self, count: int) -> list[Setting]:
        """New settings from the ranges as they are; none where there is nothing to search."""
        return [self._drawn() for _ in range(count)] if self.ranges else []

    def _drawn(self) -> Setting:
        values = {range_.name: range_.draw(self._generator) for range_ in self.ranges}
        rate, epochs = values.pop(LEARNING_RATE, None), values.pop(SFT_EPOCHS, None)
        return Setting(values, self.default.sft_epochs if epochs is None else int(epochs), rate)

    def keep(self, setting: Setting, scores: Float[np.ndarray, " unit"]) -> None:
        """A setting that was scored on all units."""
        self._whole.append((setting, scores))

    @property
    def best(self) -> tuple[Setting, Float[np.ndarray, " unit"]]:
        """The setting with the highest mean score and its scores; the first of several."""
        return max(self._whole, key=lambda one: _mean(one[1]))

    def at_edge(self, range_: SettingRange) -> bool:
        """Whether the winner lies in the outer tenth of a range that could go on."""
        return any(range_.edges(self.best[0].value(range_.name, self._defaults[range_.name])))

    def searched(self) -> dict[str, SearchedRange]:
        """The ranges as they are, for a file."""
        return {
            one.name: SearchedRange(
                low=one.low, high=one.high, log=one.log, extended=one.extended, at_edge=self.at_edge(one)
            )
            for one in self.ranges
        }

    def extend(self) -> bool:
        """Extends the ranges at whose edges the winner lies; whether there were any."""
        winner = self.best[0]
        before = self.ranges
        self.ranges = [range_.around(winner.value(range_.name, self._defaults[range_.name])) for range_ in before]
        return self.ranges != before


def search_settings(searches: list[ObjectiveSearch], plan: Plan, score: Score) -> None:
    """Plays the rounds of a plan for all objectives, and goes on for all while a winner's range was just extended.

    So every objective that has something to search gets the same number of inner loops, whoever made it necessary.
    """
    rounds = list(plan.rounds) or [0]
    played = 0
    while rounds:
        _play(searches, rounds.pop(0), plan, score, with_default=not played)
        played += 1
        extended = [one.extend() for one in searches] if plan.later else []
        if any(extended) and not rounds:
            rounds.append(plan.later)


def _play(searches: list[ObjectiveSearch], count: int, plan: Plan, score: Score, *, with_default: bool) -> None:
    """One round: the published defaults, in the first, stay to the end; of the others the better half goes on."""
    pools = [_Pool(one, [one.default] if with_default else [], one.draw(count)) for one in searches]
    for place, rung in enumerate(plan.rungs):
        if place:
            for pool in pools:
                pool.drop_worse_half()
        flat = [(pool.search.id, setting) for pool in pools for setting in pool.settings]
        if not flat:
            return
        scores = iter(score(flat, rung))
        for pool in pools:
            pool.take([next(scores) for _ in pool.settings])
    for pool in pools:
        for setting, scores_of in zip(pool.settings, pool.scores, strict=True):
            pool.search.keep(setting, scores_of)


class _Pool:
    """The settings of one objective that are still in a round."""

    def __init__(self, search: ObjectiveSearch, kept: list[Setting], drawn: list[Setting]):
        self.search, self.settings, self._kept = search, kept + drawn, len(kept)
        self.scores = [np.zeros(0)] * len(self.settings)
        search.tried += len(self.settings)

    def take(self, scores: list[np.ndarray]) -> None:
        self.scores = [np.concatenate(both) for both in zip(self.scores, scores, strict=True)]
        self.search.loops += sum(map(len, scores))

    def drop_worse_half(self) -> None:
        drawn = range(self._kept, len(self.settings))
        ordered = sorted(drawn, key=lambda place: -_mean(self.scores[place]))
        stay = [*range(self._kept), *sorted(ordered[: survivors(len(drawn))])]
        self.settings = [self.settings[place] for place in stay]
        self.scores = [self.scores[place] for place in stay]


def _mean(scores: Float[np.ndarray, " unit"]) -> float:
    return float(np.nan_to_num(scores.mean(), nan=-np.inf))
