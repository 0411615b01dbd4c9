"""Imitation of the chosen trajectory, alone or fading into preference optimisation."""

from typing import ClassVar

import jax
from jaxtyping import Array, Float

from mpo_core.losses.card import LossCard
from mpo_core.mirror.maps import Excess, FadeIn, FadeOut, Log, LogSigmoid, MaxZero, Zero
from mpo_core.mirror.mirror_objective import MirrorObjective
from mpo_core.objective.domain import NON_NEGATIVE, POSITIVE, REAL
from mpo_core.objective.interface import AbstractObjective, Scalar
from mpo_core.objective.pair_log_probs import PairLogProbs
from mpo_core.objective.setting import SearchRange, setting
from mpo_core.objective.stable import excess, negative_log_sigmoid, positive_part, ramp
from mpo_core.objective.terms import mean_log_prob_margin, mean_log_ratio_margin


class Sft(AbstractObjective):
    """Behaviour cloning of the chosen trajectory: -lw."""

    card: ClassVar[LossCard] = LossCard(
        id="sft",
        family="imitation",
        citation="behaviour cloning",
        formula="-lw",
        member="M0",
    )

    def __call__(self, pair: PairLogProbs, progress: Scalar) -> Float[Array, " row"]:
        """-lw."""
        return -pair.chosen

    def mirror(self) -> MirrorObjective:
        """The same as a point of the mirror family."""
        return MirrorObjective(Log(), Zero(), Log(), "sum", "sum", False)


class SftMean(AbstractObjective):
    """Behaviour cloning of the chosen trajectory's mean token: -mw."""

    card: ClassVar[LossCard] = LossCard(
        id="sft_mean",
        family="imitation",
        citation="behaviour cloning",
        formula="-mw",
        member="M0-bar",
        length_normalised=True,
    )

    def __call__(self, pair: PairLogProbs, progress: Scalar) -> Float[Array, " row"]:
        """-mw."""
        return -pair.chosen_mean

    def mirror(self) -> MirrorObjective:
        """The same as a point of the mirror family."""
        return MirrorObjective(Log(), Zero(), Log(), "mean", "mean", False)


class Tempo(AbstractObjective):
    """From imitation to SimPO without target margin: (1 - r(t)) lam (-mw) + r(t) softplus(-beta (mw - ml)).

    r(t) = clip((t - t0) / (t1 - t0), 0, 1). Our reconstruction of TeMPO (Alfano et al. 2025, arXiv 2411.06568, equation
    (13), whose text is not available). With t0 = t1 it is a switch.
    """

    card: ClassVar[LossCard] = LossCard(
        id="tempo",
        family="imitation",
        citation="Alfano et al. 2025, arXiv 2411.06568 (our reconstruction)",
        formula="(1 - r(t)) lam (-mw) + r(t) softplus(-beta (mw - ml)), r(t) = clip((t - t0) / (t1 - t0), 0, 1)",
        member="M0-bar",
        length_normalised=True,
    )

    beta: Float[Array, ""] = setting(2.0, POSITIVE, SearchRange(0.5, 10.0, "mean", log=True))
    lam: Float[Array, ""] = setting(1.0, NON_NEGATIVE, SearchRange(0.1, 3.0, "mean", log=True))
    t0: Float[Array, ""] = setting(0.0, REAL)
    t1: Float[Array, ""] = setting(1.0, REAL)

    def __call__(self, pair: PairLogProbs, progress: Scalar) -> Float[Array, " row"]:
        """(1 - r) lam (-mw) + r softplus(-beta (mw - ml))."""
        share = ramp(progress, self.t0, self.t1)
        preference = negative_log_sigmoid(self.beta * mean_log_prob_margin(pair))
        return (1 - share) * self.lam * -pair.chosen_mean + share * preference

    def mirror(self) -> MirrorObjective:
        """The same as a point of the mirror family."""
        psi = FadeIn(LogSigmoid(), self.t0, self.t1)
        g = FadeOut(Log(self.lam), self.t0, self.t1)
        return MirrorObjective(Log(self.beta), psi, g, "mean", "mean", False)


class GatedTempo(AbstractObjective):
    """TeMPO whose imitation keeps to chosen trajectories that the reference finds unlikely, and whose preference is of
    log-ratios: (1 - r(t)) lam sigmoid((centre - rw / nw) / width) (-mw) + r(t) softplus(-beta (A - B)).

    Ours: written down from what searches found, before it was run (docs/reviews.md says why each term is there).
    `centre` lies between the mean token log-probs of the reference's own and of the wanted trajectories.
    """

    card: ClassVar[LossCard] = LossCard(
        id="gated_tempo",
        family="imitation",
        citation="ours, after the objectives discovered here",
        formula=(
            "(1 - r(t)) lam sigmoid((centre - rw / nw) / width) (-mw) + r(t) softplus(-beta (A - B)), "
            "r(t) = clip((t - t0) / (t1 - t0), 0, 1)"
        ),
        member="no",
        no_member="its imitation has a weight of the row, from the reference",
        needs_reference=True,
        length_normalised=True,
    )

    beta: Float[Array, ""] = setting(2.0, POSITIVE, SearchRange(0.5, 10.0, "mean", log=True))
    lam: Float[Array, ""] = setting(1.0, NON_NEGATIVE, SearchRange(0.1, 3.0, "mean", log=True))
    centre: Float[Array, ""] = setting(-1.5, REAL, SearchRange(-2.5, -0.5))
    width: Float[Array, ""] = setting(0.05, POSITIVE)
    t0: Float[Array, ""] = setting(0.0, REAL)
    t1: Float[Array, ""] = setting(1.0, REAL)

    def __call__(self, pair: PairLogProbs, progress: Scalar) -> Float[Array, " row"]:
        """(1 - r) lam sigmoid((centre - rw / nw) / width) (-mw) + r softplus(-beta (A - B))."""
        share = ramp(progress, self.t0, self.t1)
        gate = jax.nn.sigmoid((self.centre - pair.ref_chosen / pair.chosen_length) / self.width)
        preference = negative_log_sigmoid(self.beta * mean_log_ratio_margin(pair))
        return (1 - share) * self.lam * gate * -pair.chosen_mean + share * preference


class FloorPo(AbstractObjective):
    """From imitation to a preference that counts log-probs above a floor alone, of rows that are ranked right:
    (1 - r(t)) lam (-mw) - r(t) beta max(0, u), u = E(mw) - E(rw / nw) - E(ml) + E(rl / nl),
    E(x) = width softplus((x - floor) / width).

    Ours: written down from what a search found on a language task, before it was run on the reporting units
    (docs/reviews.md says why each term is there). `floor` lies near the mean token log-prob that the reference gives
    its own trajectories: below it a rejected one is pushed down no further.
    """

    card: ClassVar[LossCard] = LossCard(
        id="floor_po",
        family="imitation",
        citation="ours, after the objectives discovered here",
        formula=(
            "(1 - r(t)) lam (-mw) - r(t) beta max(0, u), "
            "u = width (softplus((mw - floor) / width) - softplus((rw / nw - floor) / width) "
            "- softplus((ml - floor) / width) + softplus((rl / nl - floor) / width)), "
            "r(t) = clip((t - t0) / (t1 - t0), 0, 1)"
        ),
        member="MR-bar",
        needs_reference=True,
        length_normalised=True,
    )

    beta: Float[Array, ""] = setting(10.0, POSITIVE, SearchRange(1.0, 100.0, "mean", log=True))
    lam: Float[Array, ""] = setting(1.0, NON_NEGATIVE)
    floor: Float[Array, ""] = setting(-1.3, REAL, SearchRange(-2.5, -0.5))
    width: Float[Array, ""] = setting(0.02, POSITIVE)
    t0: Float[Array, ""] = setting(0.1, REAL)
    t1: Float[Array, ""] = setting(0.4, REAL)

    def __call__(self, pair: PairLogProbs, progress: Scalar) -> Float[Array, " row"]:
        """-(1 - r) lam mw - r beta max(0, u)."""
        share = ramp(progress, self.t0, self.t1)
        chosen = self._excess(pair.chosen_mean) - self._excess(pair.ref_chosen / pair.chosen_length)
        rejected = self._excess(pair.rejected_mean) - self._excess(pair.ref_rejected / pair.rejected_length)
        return (1 - share) * self.lam * -pair.chosen_mean - share * self.beta * positive_part(chosen - rejected)

    def _excess(self, x: Float[Array, " row"]) -> Float[Array, " row"]:
        return excess(x, self.floor, self.width)

    def mirror(self) -> MirrorObjective:
        """The same as a point of the mirror family."""
        psi, g = FadeIn(MaxZero(self.beta), self.t0, self.t1), FadeOut(Log(self.lam), self.t0, self.t1)
        return MirrorObjective(Excess(self.floor, self.width), psi, g, "mean", "mean", True)
