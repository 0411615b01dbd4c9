"""Losses that act on the log-ratios a of the chosen and b of the rejected separately."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from mpo_core.losses.entry import CatalogueEntry, TuningRange, around
from mpo_core.objective.interface import AbstractObjective, Scalar, coefficient
from mpo_core.objective.pair_log_probs import PairLogProbs
from mpo_core.objective.stable import negative_log_sigmoid, positive_part
from mpo_core.objective.terms import log_ratio_margin, optional_coefficient


class Kto(AbstractObjective):
    """desirable sigmoid(-beta (a - zw)) + undesirable sigmoid(-beta (zl - b)).

    The pair form: zw = max(0, mean b), zl = max(0, mean a) over the minibatch, without gradient, stand for the KL
    of mismatched pairs; the setting kl fixes both. Ethayarajh et al. 2024, arXiv 2402.01306. Defaults: beta 0.1,
    desirable 1, undesirable 1. With reference, not length-normalised, no member of MPO: it acts on the log-ratios
    of chosen and rejected separately.
    """

    beta: Float[Array, ""] = eqx.field(converter=coefficient, default=0.1)
    desirable: Float[Array, ""] = eqx.field(converter=coefficient, default=1.0)
    undesirable: Float[Array, ""] = eqx.field(converter=coefficient, default=1.0)
    kl: Float[Array, ""] | None = eqx.field(converter=optional_coefficient, default=None)
    """z of both; None takes it from the minibatch."""

    def __call__(self, pair: PairLogProbs, progress: Scalar) -> Float[Array, " row"]:
        """The loss of each row."""
        chosen, rejected = pair.chosen_ratio, pair.rejected_ratio
        if self.kl is None:
            anchors = jax.lax.stop_gradient((positive_part(rejected.mean()), positive_part(chosen.mean())))
        else:
            anchors = (self.kl, self.kl)
        gain = jax.nn.sigmoid(-self.beta * (chosen - anchors[0]))
        loss = jax.nn.sigmoid(-self.beta * (anchors[1] - rejected))
        return self.desirable * gain + self.undesirable * loss


class NcaPair(AbstractObjective):
    """softplus(-beta a) + (softplus(beta a) + softplus(beta b)) / 2; beta 0.01. Chen et al. 2024, arXiv 2402.05369.

    With reference, not length-normalised, no member of MPO: it acts on the log-ratios of chosen and rejected
    separately.
    """

    beta: Float[Array, ""] = eqx.field(converter=coefficient, default=0.01)

    def __call__(self, pair: PairLogProbs, progress: Scalar) -> Float[Array, " row"]:
        """The loss of each row."""
        chosen, rejected = self.beta * pair.chosen_ratio, self.beta * pair.rejected_ratio
        return negative_log_sigmoid(chosen) + (negative_log_sigmoid(-chosen) + negative_log_sigmoid(-rejected)) / 2


class BcoPair(AbstractObjective):
    """softplus(shift - beta a) + softplus(beta b - shift); beta 0.01, shift 0. Jung et al. 2024, arXiv 2404.04656.

    shift is a running mean of rewards in the BCO trainer, 0 in TRL's pair loss, and fixed here. With reference,
    not length-normalised, no member of MPO: it acts on the log-ratios of chosen and rejected separately.
    """

    beta: Float[Array, ""] = eqx.field(converter=coefficient, default=0.01)
    shift: Float[Array, ""] = eqx.field(converter=coefficient, default=0.0)

    def __call__(self, pair: PairLogProbs, progress: Scalar) -> Float[Array, " row"]:
        """The loss of each row."""
        chosen, rejected = self.beta * pair.chosen_ratio - self.shift, self.beta * pair.rejected_ratio - self.shift
        return negative_log_sigmoid(chosen) + negative_log_sigmoid(-rejected)


class SppoHard(AbstractObjective):
    """(a - 1/(2 beta))^2 + (b + 1/(2 beta))^2; beta 0.1. Wu et al. 2024, arXiv 2405.00675.

    The paper's beta is 0.001. With reference, not length-normalised, no member of MPO: it acts on the log-ratios
    of chosen and rejected separately.
    """

    beta: Float[Array, ""] = eqx.field(converter=coefficient, default=0.1)

    def __call__(self, pair: PairLogProbs, progress: Scalar) -> Float[Array, " row"]:
        """The loss of each row."""
        target = 0.5 / self.beta
        return jnp.square(pair.chosen_ratio - target) + jnp.square(pair.rejected_ratio + target)


class SppoSoft(AbstractObjective):
    """((a - c)^2 + (b + c)^2) / 2, c = (sigmoid(margin) - 1/2) / beta; beta 0.1. Wu et al. 2024, arXiv 2405.00675.

    sigmoid(margin) stands for the win probability of the original. With reference, not length-normalised, no
    member of MPO: it acts on the log-ratios of chosen and rejected separately.
    """

    beta: Float[Array, ""] = eqx.field(converter=coefficient, default=0.1)

    def __call__(self, pair: PairLogProbs, progress: Scalar) -> Float[Array, " row"]:
        """The loss of each row."""
        target = (jax.nn.sigmoid(pair.margin) - 0.5) / self.beta
        return (jnp.square(pair.chosen_ratio - target) + jnp.square(pair.rejected_ratio + target)) / 2


class ApoZero(AbstractObjective):
    """sigmoid(-beta a) + sigmoid(beta b); beta 0.1. D'Oosterlinck et al. 2024, arXiv 2408.06266.

    Bounded: no gradient in either tail. With reference, not length-normalised, no member of MPO: it acts on the
    log-ratios of chosen and rejected separately.
    """

    beta: Float[Array, ""] = eqx.field(converter=coefficient, default=0.1)

    def __call__(self, pair: PairLogProbs, progress: Scalar) -> Float[Array, " row"]:
        """The loss of each row."""
        return jax.nn.sigmoid(-self.beta * pair.chosen_ratio) + jax.nn.sigmoid(self.beta * pair.rejected_ratio)


class ApoDown(AbstractObjective):
    """sigmoid(beta a) + sigmoid(-beta D); beta 0.1. D'Oosterlinck et al. 2024, arXiv 2408.06266.

    Pushes the chosen down too; bounded. With reference, not length-normalised, no member of MPO: it acts on the
    log-ratios of chosen and rejected separately.
    """

    beta: Float[Array, ""] = eqx.field(converter=coefficient, default=0.1)

    def __call__(self, pair: PairLogProbs, progress: Scalar) -> Float[Array, " row"]:
        """The loss of each row."""
        return jax.nn.sigmoid(self.beta * pair.chosen_ratio) + jax.nn.sigmoid(-self.beta * log_ratio_margin(pair))


class CalDpo(AbstractObjective):
    """softplus(-D) + c ((a - 1/(2 beta))^2 + (b + 1/(2 beta))^2).

    As in the official code, the first term has no beta. Xiao et al. 2024, arXiv 2412.14516. Defaults: beta 0.1, c
    0.5. With reference, not length-normalised, no member of MPO: it acts on the log-ratios of chosen and rejected
    separately.
    """

    beta: Float[Array, ""] = eqx.field(converter=coefficient, default=0.1)
    c: Float[Array, ""] = eqx.field(converter=coefficient, default=0.5)

    def __call__(self, pair: PairLogProbs, progress: Scalar) -> Float[Array, " row"]:
        """The loss of each row."""
        target = 0.5 / self.beta
        calibration = jnp.square(pair.chosen_ratio - target) + jnp.square(pair.rejected_ratio + target)
        return negative_log_sigmoid(log_ratio_margin(pair)) + self.c * calibration


class Dpop(AbstractObjective):
    """softplus(-beta (D - lam relu(rw - lw))); beta 0.1, lam 50. Pal et al. 2024 (Smaug), arXiv 2402.13228.

    With reference, not length-normalised, no member of MPO: it acts on the log-ratios of chosen and rejected
    separately.
    """

    beta: Float[Array, ""] = eqx.field(converter=coefficient, default=0.1)
    lam: Float[Array, ""] = eqx.field(converter=coefficient, default=50.0)

    def __call__(self, pair: PairLogProbs, progress: Scalar) -> Float[Array, " row"]:
        """The loss of each row."""
        fallen = positive_part(-pair.chosen_ratio)
        return negative_log_sigmoid(self.beta * (log_ratio_margin(pair) - self.lam * fallen))


ENTRIES = (
    CatalogueEntry(
        id="kto",
        factory=Kto,
        family="separate",
        citation="Ethayarajh et al. 2024, arXiv 2402.01306",
        formula="desirable sigmoid(-beta (a - zw)) + undesirable sigmoid(-beta (zl - b))",
        needs_reference=True,
        length_normalised=False,
        member="no",
        tuning=(around("beta", 0.1, "sum"),),
    ),
    CatalogueEntry(
        id="nca_pair",
        factory=NcaPair,
        family="separate",
        citation="Chen et al. 2024, arXiv 2402.05369",
        formula="softplus(-beta a) + (softplus(beta a) + softplus(beta b)) / 2",
        needs_reference=True,
        length_normalised=False,
        member="no",
        tuning=(around("beta", 0.01, "sum"),),
    ),
    CatalogueEntry(
        id="bco_pair",
        factory=BcoPair,
        family="separate",
        citation="Jung et al. 2024, arXiv 2404.04656",
        formula="softplus(shift - beta a) + softplus(beta b - shift)",
        needs_reference=True,
        length_normalised=False,
        member="no",
        tuning=(TuningRange("beta", 0.01, 0.1, "sum", log=True),),
    ),
    CatalogueEntry(
        id="sppo_hard",
        factory=SppoHard,
        family="separate",
        citation="Wu et al. 2024, arXiv 2405.00675",
        formula="(a - 1/(2 beta))^2 + (b + 1/(2 beta))^2",
        needs_reference=True,
        length_normalised=False,
        member="no",
        tuning=(TuningRange("beta", 0.001, 0.1, "sum", log=True),),
    ),
    CatalogueEntry(
        id="sppo_soft",
        factory=SppoSoft,
        family="separate",
        citation="Wu et al. 2024, arXiv 2405.00675",
        formula="((a - c)^2 + (b + c)^2) / 2, c = (sigmoid(margin) - 1/2) / beta",
        needs_reference=True,
        length_normalised=False,
        member="no",
        sees_rewards=True,
        tuning=(TuningRange("beta", 0.001, 0.1, "sum", log=True),),
    ),
    CatalogueEntry(
        id="apo_zero",
        factory=ApoZero,
        family="separate",
        citation="D'Oosterlinck et al. 2024, arXiv 2408.06266",
        formula="sigmoid(-beta a) + sigmoid(beta b)",
        needs_reference=True,
        length_normalised=False,
        member="no",
        tuning=(around("beta", 0.1, "sum"),),
    ),
    CatalogueEntry(
        id="apo_down",
        factory=ApoDown,
        family="separate",
        citation="D'Oosterlinck et al. 2024, arXiv 2408.06266",
        formula="sigmoid(beta a) + sigmoid(-beta D)",
        needs_reference=True,
        length_normalised=False,
        member="no",
        tuning=(around("beta", 0.1, "sum"),),
    ),
    CatalogueEntry(
        id="cal_dpo",
        factory=CalDpo,
        family="separate",
        citation="Xiao et al. 2024, arXiv 2412.14516",
        formula="softplus(-D) + c ((a - 1/(2 beta))^2 + (b + 1/(2 beta))^2)",
        needs_reference=True,
        length_normalised=False,
        member="no",
        tuning=(
            TuningRange("beta", 0.001, 0.1, "sum", log=True),
            TuningRange("c", 0.5, 1.0, log=True),
        ),
    ),
    CatalogueEntry(
        id="dpop",
        factory=Dpop,
        family="separate",
        citation="Pal et al. 2024 (Smaug), arXiv 2402.13228",
        formula="softplus(-beta (D - lam relu(rw - lw)))",
        needs_reference=True,
        length_normalised=False,
        member="no",
        tuning=(
            around("beta", 0.1, "sum"),
            TuningRange("lam", 5.0, 50.0, log=True),
        ),
    ),
)
