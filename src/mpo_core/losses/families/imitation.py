"""Imitation of the chosen trajectory, alone or fading into preference optimisation."""

import equinox as eqx
from jaxtyping import Array, Float

from mpo_core.losses.entry import CatalogueEntry, TuningRange
from mpo_core.objective.interface import AbstractObjective, Scalar, coefficient
from mpo_core.objective.pair_log_probs import PairLogProbs
from mpo_core.objective.stable import negative_log_sigmoid, ramp
from mpo_core.objective.terms import mean_log_prob_margin


class Sft(AbstractObjective):
    """Behaviour cloning of the chosen trajectory: -lw.

    Reference-free, not length-normalised, a member of MPO (g only).
    """

    def __call__(self, pair: PairLogProbs, progress: Scalar) -> Float[Array, " row"]:
        """-lw."""
        return -pair.chosen


class SftMean(AbstractObjective):
    """Behaviour cloning of the chosen trajectory's mean token: -mw.

    Reference-free, length-normalised, a member of MPO (g only).
    """

    def __call__(self, pair: PairLogProbs, progress: Scalar) -> Float[Array, " row"]:
        """-mw."""
        return -pair.chosen_mean


class Tempo(AbstractObjective):
    """From imitation to SimPO without target margin: (1 - r(t)) lam (-mw) + r(t) softplus(-beta (mw - ml)).

    r(t) = clip((t - t0) / (t1 - t0), 0, 1). Our reconstruction of TeMPO (Alfano et al. 2025, arXiv 2411.06568,
    equation (13), whose text is not available): lam 1, beta 2, t0 0, t1 1. With t0 = t1 it is a switch.
    Reference-free, length-normalised, a member of MPO at every t.
    """

    beta: Float[Array, ""] = eqx.field(converter=coefficient, default=2.0)
    lam: Float[Array, ""] = eqx.field(converter=coefficient, default=1.0)
    t0: Float[Array, ""] = eqx.field(converter=coefficient, default=0.0)
    t1: Float[Array, ""] = eqx.field(converter=coefficient, default=1.0)

    def __call__(self, pair: PairLogProbs, progress: Scalar) -> Float[Array, " row"]:
        """(1 - r) lam (-mw) + r softplus(-beta (mw - ml))."""
        share = ramp(progress, self.t0, self.t1)
        preference = negative_log_sigmoid(self.beta * mean_log_prob_margin(pair))
        return (1 - share) * self.lam * -pair.chosen_mean + share * preference


ENTRIES = (
    CatalogueEntry(
        id="sft",
        factory=Sft,
        family="imitation",
        citation="behaviour cloning",
        formula="-lw",
        needs_reference=False,
        length_normalised=False,
        member="M0",
    ),
    CatalogueEntry(
        id="sft_mean",
        factory=SftMean,
        family="imitation",
        citation="behaviour cloning",
        formula="-mw",
        needs_reference=False,
        length_normalised=True,
        member="M0-bar",
    ),
    CatalogueEntry(
        id="tempo",
        factory=Tempo,
        family="imitation",
        citation="Alfano et al. 2025, arXiv 2411.06568 (our reconstruction)",
        formula="(1 - r(t)) lam (-mw) + r(t) softplus(-beta (mw - ml)), r(t) = clip((t - t0) / (t1 - t0), 0, 1)",
        needs_reference=False,
        length_normalised=True,
        member="M0-bar",
        tuning=(
            TuningRange("beta", 0.5, 10.0, "mean", log=True),
            TuningRange("lam", 0.1, 3.0, "mean", log=True),
        ),
    ),
)
