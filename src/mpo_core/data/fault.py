"""What a data fault is: a value with a text form that changes which pairs a dataset holds or how they are labelled.

This file and those of the faults import no JAX, so that a command line reads a data specification at once.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import ClassVar, Literal

from mpo_core.data.fault_types import LabelledPairs, PRNGKeyArray, Probability
from mpo_core.names import shortened

Stage = Literal["pairs", "judge", "labels"]
Kind = tuple[int, int]
"""Who made the two trajectories of a row, in ascending order: 0 original agent, 1 target agent, 2 other agent."""
KINDS: tuple[Kind, ...] = ((0, 0), (0, 1), (1, 1), (2, 2), (0, 2), (1, 2))
"""All kinds of rows, in the order of a dataset's pairs. New ones only at the end: places are part of random keys."""


class DataFault:
    """Base of all data faults. A fault is a frozen dataclass: hashable, compared by value, static in compiled programs.

    Class attributes:
        name: what the term begins with.
        form: how the term is written, such as `noisy:E`.
        description: one sentence, with the domain of every number.
        stage: `pairs` says which pairs there are (one such term a specification), `judge` who labels them (one as
            well), `labels` what becomes of the labels after that (any number, in the order of their names).
    """

    name: ClassVar[str]
    form: ClassVar[str]
    description: ClassVar[str]
    stage: ClassVar[Stage]

    @classmethod
    def parse(cls, value: str) -> "DataFault":
        """Reads what stands behind the colon of a term, "" where there is no colon.

        Raises:
            ValueError: one sentence that names the term and what is allowed.
        """
        raise NotImplementedError

    @property
    def text(self) -> str:
        """The term in its canonical form; "" where it changes nothing. `parse` reads it back exactly."""
        raise NotImplementedError

    def shares(self) -> Mapping[Kind, float]:
        """Shares of rows of each kind, which sum to 1. Only faults of stage `pairs` are asked."""
        raise NotImplementedError

    def apply(self, pairs: LabelledPairs, *, key: PRNGKeyArray) -> LabelledPairs:
        """The pairs with the labels that the fault makes of them. Faults of stage `pairs` are not asked.

        Runs inside compiled programs: pure JAX, on all rows of a dataset at once. Import JAX in here.

        Args:
            key: no other fault of the specification has it.
        """
        raise NotImplementedError


@dataclasses.dataclass(frozen=True)
class NumberFault(DataFault):
    """A fault with one number, `name:NUMBER`, which is nothing at 0.

    Class attributes:
        low, high: ends of the number's domain; both belong to it.
        what: what the number is, as a sentence has it.
    """

    value: float

    low: ClassVar[float] = 0.0
    high: ClassVar[float] = 1.0
    what: ClassVar[str] = "a share"

    def __post_init__(self):
        if not self.low <= self.value <= self.high:  # not so for NaN
            raise ValueError(f"data specification: {self._domain()}, not {self.value:g}")

    @classmethod
    def parse(cls, value: str) -> "NumberFault":
        number = read_number(value, f"{cls.name}:{value}")
        if not cls.low <= number <= cls.high:
            raise ValueError(f"data specification: {cls._domain()}, not {shortened(value)}")
        return cls(number)

    @property
    def text(self) -> str:
        return f"{self.name}:{number_text(self.value)}" if self.value else ""

    @classmethod
    def _domain(cls) -> str:
        return f"'{cls.name}' takes {cls.what} between {cls.low:g} and {cls.high:g}"


class FlipFault(NumberFault):
    """A fault with one number that flips each label by lot: it gives the probability of a flip, row by row."""

    stage: ClassVar[Stage] = "labels"

    def probability(self, pairs: LabelledPairs) -> Probability:
        """The probability that the label of each row is flipped, in [0, 1]."""
        raise NotImplementedError

    def apply(self, pairs: LabelledPairs, *, key: PRNGKeyArray) -> LabelledPairs:
        import jax

        flip = jax.random.uniform(key, pairs.second_wins.shape) < self.probability(pairs)
        return pairs.with_labels(pairs.second_wins ^ flip)


def read_number(text: str, term: str) -> float:
    """A number within a term.

    Raises:
        ValueError: it is none.
    """
    try:
        return float(text) + 0.0  # -0 is 0
    except ValueError:
        raise ValueError(f"data specification: {shortened(term)!r} needs a number, not {shortened(text)!r}") from None


def number_text(value: float) -> str:
    """The shortest text that gives the number back; without a plus, which joins terms."""
    short = f"{value:g}"
    return (short if float(short) == value else repr(value)).replace("e+", "e")


def check_shares(shares: Mapping[Kind, float], term: str) -> None:
    """Refuses shares that are none.

    Raises:
        ValueError: one is outside [0, 1] or of no kind, or they do not sum to 1.
    """
    for kind, share in shares.items():
        if kind not in KINDS:
            raise ValueError(f"data specification: {shortened(term)!r} gives a share of kind {kind}, which is none")
        if not 0.0 <= share <= 1.0:  # not so for NaN
            raise ValueError(
                f"data specification: {shortened(term)!r}: a share must lie between 0 and 1, not {share:g}"
            )
    if not math.isclose(sum(shares.values()), 1.0, abs_tol=1e-6):
        raise ValueError(
            f"data specification: {shortened(term)!r}: the shares must sum to 1, not {sum(shares.values()):.9g}"
        )
