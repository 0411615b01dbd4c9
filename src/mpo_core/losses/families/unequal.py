"""Losses that weigh chosen and rejected, or the rows, unequally."""

import equinox as eqx
import jax
from jaxtyping import Array, Float

from mpo_core.losses.entry import CatalogueEntry, TuningRange, around
from mpo_core.objective.interface import AbstractObjective, Scalar, coefficient
from mpo_core.objective.pair_log_probs import PairLogProbs
from mpo_core.objective.stable import bounded_exp, negative_log_sigmoid
from mpo_core.objective.terms import log_ratio_margin


class DpoShift(AbstractObjective):
    """softplus(-beta (a - f(t) b)), f(t) = lo + (hi - lo) t.

    lo = hi is a fixed shift, lo > hi a falling one. DPO-Shift 2025, arXiv 2502.07599. Defaults: beta 0.1, lo
    0.75, hi 0.95. With reference, not length-normalised, no member of MPO: it weighs chosen and rejected
    unequally.
    """

    beta: Float[Array, ""] = eqx.field(converter=coefficient, default=0.1)
    lo: Float[Array, ""] = eqx.field(converter=coefficient, default=0.75)
    hi: Float[Array, ""] = eqx.field(converter=coefficient, default=0.95)

    def __call__(self, pair: PairLogProbs, progress: Scalar) -> Float[Array, " row"]:
        """The loss of each row."""
        share = self.lo + (self.hi - self.lo) * progress
        return negative_log_sigmoid(self.beta * (pair.chosen_ratio - share * pair.rejected_ratio))


class Cpl(AbstractObjective):
    """softplus(-alpha (lw - lam ll)); alpha 0.1, lam 0.5. Hejna et al. 2023, arXiv 2310.13639.

    Reference-free, not length-normalised, no member of MPO: it weighs chosen and rejected unequally (with lam = 1
    it is a member).
    """

    alpha: Float[Array, ""] = eqx.field(converter=coefficient, default=0.1)
    lam: Float[Array, ""] = eqx.field(converter=coefficient, default=0.5)

    def __call__(self, pair: PairLogProbs, progress: Scalar) -> Float[Array, " row"]:
        """The loss of each row."""
        return negative_log_sigmoid(self.alpha * (pair.chosen - self.lam * pair.rejected))


class WpoDpo(AbstractObjective):
    """sg(min(1, e^(mw + ml))) softplus(-beta D); beta 0.01. Zhou et al. 2024, arXiv 2406.11827.

    sg stops the gradient. The unaligned weight: the aligned one needs the log-probs of each token. With
    reference, not length-normalised, a member of MPO up to a weight of the row.
    """

    beta: Float[Array, ""] = eqx.field(converter=coefficient, default=0.01)

    def __call__(self, pair: PairLogProbs, progress: Scalar) -> Float[Array, " row"]:
        """The loss of each row."""
        weight = bounded_exp(pair.chosen_mean + pair.rejected_mean, 0.0)
        return jax.lax.stop_gradient(weight) * negative_log_sigmoid(self.beta * log_ratio_margin(pair))


ENTRIES = (
    CatalogueEntry(
        id="dpo_shift",
        factory=DpoShift,
        family="unequal",
        citation="DPO-Shift 2025, arXiv 2502.07599",
        formula="softplus(-beta (a - f(t) b)), f(t) = lo + (hi - lo) t",
        needs_reference=True,
        length_normalised=False,
        member="no",
        tuning=(
            around("beta", 0.1, "sum"),
            TuningRange("lo", 0.5, 1.0, log=True),
        ),
    ),
    CatalogueEntry(
        id="cpl",
        factory=Cpl,
        family="unequal",
        citation="Hejna et al. 2023, arXiv 2310.13639",
        formula="softplus(-alpha (lw - lam ll))",
        needs_reference=False,
        length_normalised=False,
        member="no",
        tuning=(
            around("alpha", 0.1, "sum"),
            TuningRange("lam", 0.25, 1.0, log=True),
        ),
    ),
    CatalogueEntry(
        id="wpo_dpo",
        factory=WpoDpo,
        family="unequal",
        citation="Zhou et al. 2024, arXiv 2406.11827",
        formula="sg(min(1, e^(mw + ml))) softplus(-beta D)",
        needs_reference=True,
        length_normalised=False,
        member="w",
        tuning=(around("beta", 0.01, "sum"),),
    ),
)
