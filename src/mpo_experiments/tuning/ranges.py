"""Ranges that settings are searched in: scaled to a task, around the published default, wider where the winner is.

A winner in the outer tenth of its range (on the scale that it was searched on) may have a better neighbour outside:
the range is extended tenfold on that side, `MOST_EXTENSIONS` times at most and never out of the setting's domain.
"""

import dataclasses
import math
from typing import Any

import numpy as np

from mpo_core.losses.catalogue import CatalogueEntry, make_objective
from mpo_core.losses.entry import TuningRange

TOKENS_OF_PUBLISHED_RANGES = 100.0
"""A coefficient of a sum over a trajectory is searched on its published range divided by tokens / 100."""
MOST_EXTENSIONS = 4
OUTER = 0.1
"""Share of a range at either side in which a winner is said to lie at its edge."""
TENFOLD = 10.0
EVERYWHERE = (-math.inf, math.inf)
WITHIN_OPEN_END = 1e-3
"""Share of an open end of a domain that a range stays away from it."""


@dataclasses.dataclass(frozen=True)
class SettingRange:
    """Where a setting is searched."""

    name: str
    low: float
    high: float
    log: bool
    domain: tuple[float, float] = EVERYWHERE
    """What the setting may be at all."""
    extended: int = 0
    steps: tuple[float, ...] = ()
    """The values there are, where it is not a whole interval: all that it may be, so that nothing is extended."""
    coarse: bool = False
    """Whether only 1, 2 and 5 of every decade are drawn: where each value needs a compiled program of its own."""

    def draw(self, generator: np.random.Generator) -> float:
        """A value, uniform on the scale, of four digits."""
        if self.steps:
            return float(generator.choice(self.steps))
        if self.log:
            value = math.exp(generator.uniform(math.log(self.low), math.log(self.high)))
            return _one_two_five(value) if self.coarse else float(f"{value:.4g}")
        return float(f"{generator.uniform(self.low, self.high):.4g}")

    def edges(self, value: float) -> tuple[bool, bool]:
        """Whether a value lies in the outer tenth below or above, where the domain goes on beyond it."""
        if self.steps or not self.low < self.high or (self.log and value <= 0):
            return False, False
        low, high, at = (math.log(x) if self.log else x for x in (self.low, self.high, value))
        place = (at - low) / (high - low)
        below, above = _outwards(self, -1) < self.low, _outwards(self, 1) > self.high
        return place < OUTER and below, place > 1 - OUTER and above

    def around(self, winner: float) -> "SettingRange":
        """The range that a search goes on in: this one if the winner is within, or was often enough at an edge.

        One that spans more than a decade of positive numbers is searched on its logarithm from then on.
        """
        below, above = self.edges(winner)
        if self.extended >= MOST_EXTENSIONS or not (below or above):
            return self
        low, high = _outwards(self, -1) if below else self.low, _outwards(self, 1) if above else self.high
        log = self.log or (low > 0 and high / low > TENFOLD)
        return dataclasses.replace(self, low=low, high=high, log=log, extended=self.extended + 1)


def scaled_range(range_: TuningRange, tokens: float) -> tuple[float, float]:
    """The published range on trajectories of so many tokens."""
    factor = TOKENS_OF_PUBLISHED_RANGES / tokens if range_.scale == "sum" else 1.0
    return range_.low * factor, range_.high * factor


def published_ranges(entry: CatalogueEntry, tokens: float) -> list[SettingRange]:
    """The published ranges of an objective, scaled to a task and no more."""
    return [
        SettingRange(range_.name, *scaled_range(range_, tokens), range_.log, _domain(entry, range_))
        for range_ in entry.tuning
    ]


def ranges_with_default(entry: CatalogueEntry, tokens: float) -> list[SettingRange]:
    """`published_ranges`, each widened to where the published default lies."""
    objective = make_objective(entry.id)
    return [_with(range_, getattr(objective, range_.name)) for range_ in published_ranges(entry, tokens)]


def published_values(id: str, ranges: list[SettingRange]) -> dict[str, float]:
    """What an objective has by default of the settings that are searched; NaN of one that is open, or not its own."""
    objective = make_objective(id)
    values = {one.name: getattr(objective, one.name, None) for one in ranges}
    return {name: math.nan if value is None else float(value) for name, value in values.items()}


def _with(range_: SettingRange, default: Any) -> SettingRange:
    if default is None or (range_.log and float(default) <= 0):
        return range_
    value = float(f"{float(default):.6g}")  # a default is kept in single precision
    return dataclasses.replace(range_, low=min(range_.low, value), high=max(range_.high, value))


def _domain(entry: CatalogueEntry, range_: TuningRange) -> tuple[float, float]:
    """The domain of a setting where its range, or the field of the objective's class, says one."""
    fields = getattr(entry.factory, "__dataclass_fields__", {})
    metadata = fields[range_.name].metadata.values() if range_.name in fields else ()
    said = [getattr(one, "domain", None) for one in (range_, *metadata)]
    found = next((one for one in said if one is not None), None)
    if found is None:
        return EVERYWHERE
    if isinstance(found, tuple):
        return found
    low, high = found.low, found.high
    if getattr(found, "low_open", False):
        low += abs(low) * WITHIN_OPEN_END
    if getattr(found, "high_open", False):
        high -= abs(high) * WITHIN_OPEN_END
    return low, high


def _outwards(range_: SettingRange, side: int) -> float:
    """The bound of a side moved tenfold away from the other, no further than the domain; 0 stays 0."""
    bound = range_.high if side > 0 else range_.low
    moved = bound * TENFOLD if bound * side > 0 else bound / TENFOLD
    low, high = range_.domain
    return float(f"{min(max(moved, low), high):.6g}")


def _one_two_five(value: float) -> float:
    """The nearest of 1, 2 and 5 of any decade, on the logarithm."""
    decade = math.floor(math.log10(value))
    near = [float(f"{digit}e{decade}") for digit in (1, 2, 5, 10)]
    return min(near, key=lambda one: abs(math.log(one / value)))
