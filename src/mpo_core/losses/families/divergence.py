"""Other divergences to the reference, and other mirror maps, than the logarithm's."""

from typing import ClassVar

import jax.numpy as jnp
from jaxtyping import Array, Float

from mpo_core.losses.card import LossCard
from mpo_core.mirror.maps import LogSigmoid, Tsallis, Zero
from mpo_core.mirror.mirror_objective import MirrorObjective
from mpo_core.objective.domain import POSITIVE, REAL
from mpo_core.objective.interface import AbstractObjective, Scalar
from mpo_core.objective.pair_log_probs import PairLogProbs
from mpo_core.objective.setting import around, setting
from mpo_core.objective.stable import bounded_exp, negative_log_sigmoid, tsallis_of_log_prob


class FDpoForwardKl(AbstractObjective):
    """softplus(-beta (f(a) - f(b))), f(x) = -e^-x.

    Exponents are clipped at 30, beyond which the gradient is 0.
    """

    card: ClassVar[LossCard] = LossCard(
        id="f_dpo_forward_kl",
        family="divergence",
        citation="Wang et al. 2023, arXiv 2309.16240",
        formula="softplus(-beta (f(a) - f(b))), f(x) = -e^-x",
        member="no",
        no_member="it acts on p/q, which is no difference of one phi_inv at p and at q",
        needs_reference=True,
    )

    beta: Float[Array, ""] = setting(0.1, POSITIVE, around(0.1, "sum"))

    def __call__(self, pair: PairLogProbs, progress: Scalar) -> Float[Array, " row"]:
        """The loss of each row."""
        chosen, rejected = (-bounded_exp(-x) for x in (pair.chosen_ratio, pair.rejected_ratio))
        return negative_log_sigmoid(self.beta * (chosen - rejected))


class FDpoJs(AbstractObjective):
    """softplus(-beta (f(a) - f(b))), f(x) = -softplus(-x)."""

    card: ClassVar[LossCard] = LossCard(
        id="f_dpo_js",
        family="divergence",
        citation="Wang et al. 2023, arXiv 2309.16240",
        formula="softplus(-beta (f(a) - f(b))), f(x) = -softplus(-x)",
        member="no",
        no_member="it acts on p/q, which is no difference of one phi_inv at p and at q",
        needs_reference=True,
    )

    beta: Float[Array, ""] = setting(0.1, POSITIVE, around(0.1, "sum"))

    def __call__(self, pair: PairLogProbs, progress: Scalar) -> Float[Array, " row"]:
        """The loss of each row."""
        chosen, rejected = (-negative_log_sigmoid(x) for x in (pair.chosen_ratio, pair.rejected_ratio))
        return negative_log_sigmoid(self.beta * (chosen - rejected))


class FDpoAlpha(AbstractObjective):
    """softplus(-beta (f(a) - f(b))), f(x) = e^((alpha - 1) x) / (alpha - 1).

    With alpha = 1 it is dpo. Exponents are clipped at 30, beyond which the gradient is 0.
    """

    card: ClassVar[LossCard] = LossCard(
        id="f_dpo_alpha",
        family="divergence",
        citation="Wang et al. 2023, arXiv 2309.16240",
        formula="softplus(-beta (f(a) - f(b))), f(x) = e^((alpha - 1) x) / (alpha - 1)",
        member="no",
        no_member="it acts on p/q, which is no difference of one phi_inv at p and at q",
        needs_reference=True,
    )

    beta: Float[Array, ""] = setting(0.1, POSITIVE, around(0.1, "sum"))
    alpha: Float[Array, ""] = setting(0.5, REAL)

    def __call__(self, pair: PairLogProbs, progress: Scalar) -> Float[Array, " row"]:
        """The loss of each row."""
        scores = [tsallis_of_log_prob(x, 1 - self.alpha) for x in (pair.chosen_ratio, pair.rejected_ratio)]
        return negative_log_sigmoid(self.beta * (scores[0] - scores[1]))


class ChiPo(AbstractObjective):
    """softplus(-clip(beta (e^a + a - e^b - b), -2 R, 2 R)), R = clip.

    Clipped rows have no gradient; exponents are clipped at 20.
    """

    card: ClassVar[LossCard] = LossCard(
        id="chipo",
        family="divergence",
        citation="Huang et al. 2024, arXiv 2407.13399",
        formula="softplus(-clip(beta (e^a + a - e^b - b), -2 R, 2 R)), R = clip",
        member="no",
        no_member="it acts on p/q, which is no difference of one phi_inv at p and at q",
        needs_reference=True,
    )

    beta: Float[Array, ""] = setting(0.1, POSITIVE, around(0.1, "sum"))
    clip: Float[Array, ""] = setting(10.0, POSITIVE)

    def __call__(self, pair: PairLogProbs, progress: Scalar) -> Float[Array, " row"]:
        """The loss of each row."""
        chosen, rejected = (bounded_exp(x, 20.0) + x for x in (pair.chosen_ratio, pair.rejected_ratio))
        return negative_log_sigmoid(jnp.clip(self.beta * (chosen - rejected), -2 * self.clip, 2 * self.clip))


class MpoTsallisRef(AbstractObjective):
    """softplus(-beta (h(mw) - h(qw) - h(ml) + h(ql))), h(x) = q e^((q - 1) x) / (q - 1).

    qw, ql are mean log-probs under the reference. Mean tokens replace the sums of the original, whose exponentials
    vanish on trajectories.
    """

    card: ClassVar[LossCard] = LossCard(
        id="mpo_tsallis_ref",
        family="divergence",
        citation="Sapora 2024, fork of the DPO code (B-DPO)",
        formula="softplus(-beta (h(mw) - h(qw) - h(ml) + h(ql))), h(x) = q e^((q - 1) x) / (q - 1)",
        member="MR-bar",
        needs_reference=True,
        length_normalised=True,
    )

    beta: Float[Array, ""] = setting(0.1, POSITIVE, around(0.1, "mean"))
    q: Float[Array, ""] = setting(0.5, POSITIVE)

    def __call__(self, pair: PairLogProbs, progress: Scalar) -> Float[Array, " row"]:
        """The loss of each row."""

        def score(log_prob: Array, ref_log_prob: Array, length: Array) -> Array:
            mapped, ref_mapped = (tsallis_of_log_prob(x / length, 1 - self.q) for x in (log_prob, ref_log_prob))
            return self.q * (mapped - ref_mapped)

        chosen = score(pair.chosen, pair.ref_chosen, pair.chosen_length)
        rejected = score(pair.rejected, pair.ref_rejected, pair.rejected_length)
        return negative_log_sigmoid(self.beta * (chosen - rejected))

    def mirror(self) -> MirrorObjective:
        """The same as a point of the mirror family."""
        phi_inv = Tsallis(1 - self.q, self.beta * self.q)
        return MirrorObjective(phi_inv, LogSigmoid(), Zero(), "mean", "mean", True)
