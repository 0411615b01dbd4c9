"""What a loss says about itself, on its class.

Formulas are in this notation. lw, ll: summed log-probs of chosen and rejected; rw, rl: the same under the reference;
nw, nl: lengths in tokens; mw = lw / nw, ml = ll / nl; qw = rw / nw, ql = rl / nl. a = lw - rw, b = ll - rl: log-ratios;
A = a / nw, B = b / nl. D = a - b; P = lw - ll. m: reward margin; t: progress; sg: stop the gradient. g: group, the kind
of a pair; q_g: its weight; share_g: its share of the rows. mean, std: over the minibatch. ranked(x, y): that x of the
minibatch which has the rank among all x that y has among all y. EMA(x): moving average of x over the updates. c or x:
the setting c, or x where it is left open. [x < 0]: 1 where it holds, else 0. i, j: rows of the minibatch.

`mpo_core.formula` reads it: exports are made from these formulas.
"""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class LossCard:
    """What a loss is, where it comes from and what it needs; the class variable `card` of a hand-written loss.

    Defaults, domains and search ranges of its settings stand in its fields. A loss that equals a `MirrorObjective` has
    a method `mirror` that returns it, any other says in `no_member` why there is none.
    """

    id: str
    family: str
    citation: str
    formula: str
    """The loss of a row, to minimise, in the notation of this module."""
    member: str
    """Place in the mirror family: M0 exact without, MR exact with reference; -bar: on mean token log-probs; ~row: up to
    a constant of the row; w: up to a weight of the row; no."""
    no_member: str | None = None
    """Why it is no exact member of the mirror family."""
    needs_reference: bool = False
    length_normalised: bool = False
    sees_rewards: bool = False
    """Whether it reads the margin of return: privileged information, so it is ranked apart."""
    sees_groups: bool = False
    """Whether it reads which agents a row's trajectories come from: privileged information, so it is ranked apart."""
    sft_epochs: int = 0
    """Epochs of supervised fine-tuning that go before it in the paper's schedule of 12."""
