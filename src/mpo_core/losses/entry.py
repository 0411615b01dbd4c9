"""What the catalogue says about an objective.

Formulas are in this notation. lw, ll: summed log-probs of chosen and rejected; rw, rl: the same under the reference;
nw, nl: lengths in tokens; mw = lw / nw, ml = ll / nl. a = lw - rw, b = ll - rl: log-ratios; A = a / nw, B = b / nl.
D = a - b; P = lw - ll. m: reward margin; t: progress; sg: stop the gradient. g: group, the kind of a pair. EMA(x):
moving average of x over the updates.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from mpo_core.objective.interface import AbstractObjective


@dataclass(frozen=True)
class TuningRange:
    """Range in which a hyper-parameter is searched, at the scale it was published for.

    Where a source gives one value rather than a grid, the range is half a decade to either side of it.
    """

    name: str
    low: float
    high: float
    scale: Literal["sum", "mean", "none"] = "none"
    """What the coefficient multiplies: sums over a trajectory (a tuner divides the range by tokens / 100), means over
    its tokens, or neither."""
    log: bool = False
    """Whether it is searched on a logarithmic scale."""


PAPER_EPOCHS = 12


@dataclass(frozen=True)
class CatalogueEntry:
    """One objective: its class, where it comes from and what it needs."""

    id: str
    factory: Callable[..., AbstractObjective]
    """The class of a hand-written objective, its fields are settings; of a saved one, a function that reads it."""
    family: str
    citation: str
    formula: str
    """The loss of a row, to minimise, in the notation of this module."""
    needs_reference: bool
    length_normalised: bool
    member: str
    """Place in the mirror family: M0 exact without, MR exact with reference; -bar: on mean token log-probs; ~row: up to
    a constant of the row; w: up to a weight of the row; no."""
    sees_rewards: bool = False
    """Whether it reads the margin of return: privileged information, so it is ranked apart."""
    sees_groups: bool = False
    """Whether it reads which agents a row's trajectories come from: privileged information, so it is ranked apart."""
    sft_epochs: int = 0
    """Epochs of supervised fine-tuning that go before it in the paper's schedule of 12."""
    tuning: tuple[TuningRange, ...] = ()

    def sft_epochs_of(self, epochs: int) -> int:
        """SFT epochs of a schedule of another length, in the paper's proportion; the objective keeps at least one."""
        return min(round(self.sft_epochs * epochs / PAPER_EPOCHS), epochs - 1)


HALF_DECADE = 10**0.5


def around(name: str, value: float, scale: Literal["sum", "mean", "none"] = "none", log: bool = True) -> TuningRange:
    """Half a decade to either side of the one value that was published."""
    return TuningRange(name, value / HALF_DECADE, value * HALF_DECADE, scale, log)
