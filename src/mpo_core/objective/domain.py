"""The values that a setting of an objective may take."""

import math
from dataclasses import dataclass

import numpy as np

LARGEST, SMALLEST = 1e6, 1e-6
"""Within these a loss and its gradient stay finite in single precision on trajectories of thousands of tokens."""


@dataclass(frozen=True)
class Domain:
    """An interval of numbers, whose ends belong to it unless they are open.

    Numbers are compared as single precision holds them: what rounds to an open end is outside.
    """

    low: float
    high: float
    low_open: bool = False
    high_open: bool = False

    def __contains__(self, value: float | int) -> bool:
        if not math.isfinite(value) or abs(value) > np.finfo(np.float32).max:
            return False
        low, number, high = (np.float32(one) for one in (self.low, value, self.high))
        above = number > low if self.low_open else number >= low
        return bool(above and (number < high if self.high_open else number <= high))

    def __str__(self) -> str:
        """In words: `at least 0 and below 0.5`."""
        low, high = (f"{end:.7g}" for end in (self.low, self.high))
        return f"{'above' if self.low_open else 'at least'} {low} and {'below' if self.high_open else 'at most'} {high}"

    @property
    def interval(self) -> str:
        """As an interval: `[0, 0.5)`."""
        low, high = (f"{end:.7g}" for end in (self.low, self.high))
        return f"{'(' if self.low_open else '['}{low}, {high}{')' if self.high_open else ']'}"


REAL = Domain(-LARGEST, LARGEST)
"""Of margins to reach, shifts and times."""
POSITIVE = Domain(0.0, LARGEST, low_open=True)
"""Of scales: at 0 a loss teaches nothing, below it pushes the chosen side down."""
NON_NEGATIVE = Domain(0.0, LARGEST)
"""Of weights of a term."""
DIVISOR = Domain(SMALLEST, LARGEST)
"""Of what a loss divides by."""
SHARE = Domain(0.0, 1.0)
LABEL_NOISE = Domain(0.0, 0.5, high_open=True)
"""Of shares of labels that are wrong: with half of them or more, the chosen side is pushed down."""
