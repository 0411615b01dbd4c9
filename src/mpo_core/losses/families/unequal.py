"""Losses that weigh chosen and rejected, or the rows, unequally."""

from typing import ClassVar

import jax
from jaxtyping import Array, Float

from mpo_core.losses.card import LossCard
from mpo_core.objective.domain import POSITIVE, SHARE
from mpo_core.objective.interface import AbstractObjective, Scalar
from mpo_core.objective.pair_log_probs import PairLogProbs
from mpo_core.objective.setting import SearchRange, around, setting
from mpo_core.objective.stable import bounded_exp, negative_log_sigmoid
from mpo_core.objective.terms import log_ratio_margin


class DpoShift(AbstractObjective):
    """softplus(-beta (a - f(t) b)), f(t) = lo + (hi - lo) t.

    lo = hi is a fixed shift, lo > hi a falling one.
    """

    card: ClassVar[LossCard] = LossCard(
        id="dpo_shift",
        family="unequal",
        citation="DPO-Shift 2025, arXiv 2502.07599",
        formula="softplus(-beta (a - f(t) b)), f(t) = lo + (hi - lo) t",
        member="no",
        no_member="it weighs chosen and rejected unequally",
        needs_reference=True,
    )

    beta: Float[Array, ""] = setting(0.1, POSITIVE, around(0.1, "sum"))
    lo: Float[Array, ""] = setting(0.75, SHARE, SearchRange(0.5, 1.0, log=True))
    hi: Float[Array, ""] = setting(0.95, SHARE)

    def __call__(self, pair: PairLogProbs, progress: Scalar) -> Float[Array, " row"]:
        """The loss of each row."""
        share = self.lo + (self.hi - self.lo) * progress
        return negative_log_sigmoid(self.beta * (pair.chosen_ratio - share * pair.rejected_ratio))


class Cpl(AbstractObjective):
    """softplus(-alpha (lw - lam ll))."""

    card: ClassVar[LossCard] = LossCard(
        id="cpl",
        family="unequal",
        citation="Hejna et al. 2023, arXiv 2310.13639",
        formula="softplus(-alpha (lw - lam ll))",
        member="no",
        no_member="it weighs chosen and rejected unequally (with lam = 1 it is a member)",
    )

    alpha: Float[Array, ""] = setting(0.1, POSITIVE, around(0.1, "sum"))
    lam: Float[Array, ""] = setting(0.5, SHARE, SearchRange(0.25, 1.0, log=True))

    def __call__(self, pair: PairLogProbs, progress: Scalar) -> Float[Array, " row"]:
        """The loss of each row."""
        return negative_log_sigmoid(self.alpha * (pair.chosen - self.lam * pair.rejected))


class WpoDpo(AbstractObjective):
    """sg(min(1, e^(mw + ml))) softplus(-beta D).

    sg stops the gradient. The unaligned weight: the aligned one needs the log-probs of each token.
    """

    card: ClassVar[LossCard] = LossCard(
        id="wpo_dpo",
        family="unequal",
        citation="Zhou et al. 2024, arXiv 2406.11827",
        formula="sg(min(1, e^(mw + ml))) softplus(-beta D)",
        member="w",
        no_member="it weighs each row by a factor that psi does not see",
        needs_reference=True,
    )

    beta: Float[Array, ""] = setting(0.01, POSITIVE, around(0.01, "sum"))

    def __call__(self, pair: PairLogProbs, progress: Scalar) -> Float[Array, " row"]:
        """The loss of each row."""
        weight = bounded_exp(pair.chosen_mean + pair.rejected_mean, 0.0)
        return jax.lax.stop_gradient(weight) * negative_log_sigmoid(self.beta * log_ratio_margin(pair))
