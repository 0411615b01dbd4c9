"""Losses that act on the log-ratios a of the chosen and b of the rejected separately."""

from typing import ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from mpo_core.losses.card import LossCard
from mpo_core.objective.domain import DIVISOR, NON_NEGATIVE, POSITIVE, REAL
from mpo_core.objective.interface import AbstractObjective, Scalar
from mpo_core.objective.pair_log_probs import PairLogProbs
from mpo_core.objective.setting import SearchRange, around, setting
from mpo_core.objective.stable import negative_log_sigmoid, positive_part
from mpo_core.objective.terms import log_ratio_margin


class Kto(AbstractObjective):
    """desirable sigmoid(-beta (a - zw)) + undesirable sigmoid(-beta (zl - b)).

    The pair form: zw = max(0, mean b), zl = max(0, mean a) over the minibatch, without gradient, stand for the KL of
    mismatched pairs; the setting kl fixes both.
    """

    card: ClassVar[LossCard] = LossCard(
        id="kto",
        family="separate",
        citation="Ethayarajh et al. 2024, arXiv 2402.01306",
        formula="desirable sigmoid(-beta (a - zw)) + undesirable sigmoid(-beta (zl - b)), zw = kl or "
        "relu(sg(mean b)), zl = kl or relu(sg(mean a))",
        member="no",
        no_member="it acts on the log-ratios of chosen and rejected separately",
        needs_reference=True,
    )

    beta: Float[Array, ""] = setting(0.1, POSITIVE, around(0.1, "sum"))
    desirable: Float[Array, ""] = setting(1.0, NON_NEGATIVE)
    undesirable: Float[Array, ""] = setting(1.0, NON_NEGATIVE)
    kl: Float[Array, ""] | None = setting(None, NON_NEGATIVE)
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
    """softplus(-beta a) + (softplus(beta a) + softplus(beta b)) / 2."""

    card: ClassVar[LossCard] = LossCard(
        id="nca_pair",
        family="separate",
        citation="Chen et al. 2024, arXiv 2402.05369",
        formula="softplus(-beta a) + (softplus(beta a) + softplus(beta b)) / 2",
        member="no",
        no_member="it acts on the log-ratios of chosen and rejected separately",
        needs_reference=True,
    )

    beta: Float[Array, ""] = setting(0.01, POSITIVE, around(0.01, "sum"))

    def __call__(self, pair: PairLogProbs, progress: Scalar) -> Float[Array, " row"]:
        """The loss of each row."""
        chosen, rejected = self.beta * pair.chosen_ratio, self.beta * pair.rejected_ratio
        return negative_log_sigmoid(chosen) + (negative_log_sigmoid(-chosen) + negative_log_sigmoid(-rejected)) / 2


class BcoPair(AbstractObjective):
    """softplus(shift - beta a) + softplus(beta b - shift).

    shift is a running mean of rewards in the BCO trainer, 0 in TRL's pair loss, and fixed here.
    """

    card: ClassVar[LossCard] = LossCard(
        id="bco_pair",
        family="separate",
        citation="Jung et al. 2024, arXiv 2404.04656",
        formula="softplus(shift - beta a) + softplus(beta b - shift)",
        member="no",
        no_member="it acts on the log-ratios of chosen and rejected separately",
        needs_reference=True,
    )

    beta: Float[Array, ""] = setting(0.01, POSITIVE, SearchRange(0.003, 0.1, "sum", log=True))
    shift: Float[Array, ""] = setting(0.0, REAL)

    def __call__(self, pair: PairLogProbs, progress: Scalar) -> Float[Array, " row"]:
        """The loss of each row."""
        chosen, rejected = self.beta * pair.chosen_ratio - self.shift, self.beta * pair.rejected_ratio - self.shift
        return negative_log_sigmoid(chosen) + negative_log_sigmoid(-rejected)


class SppoHard(AbstractObjective):
    """(a - 1/(2 beta))^2 + (b + 1/(2 beta))^2.

    The paper's beta is 0.001.
    """

    card: ClassVar[LossCard] = LossCard(
        id="sppo_hard",
        family="separate",
        citation="Wu et al. 2024, arXiv 2405.00675",
        formula="(a - 1/(2 beta))^2 + (b + 1/(2 beta))^2",
        member="no",
        no_member="it acts on the log-ratios of chosen and rejected separately",
        needs_reference=True,
    )

    beta: Float[Array, ""] = setting(0.1, DIVISOR, SearchRange(0.001, 0.3, "sum", log=True))

    def __call__(self, pair: PairLogProbs, progress: Scalar) -> Float[Array, " row"]:
        """The loss of each row."""
        target = 0.5 / self.beta
        return jnp.square(pair.chosen_ratio - target) + jnp.square(pair.rejected_ratio + target)


class SppoSoft(AbstractObjective):
    """((a - c)^2 + (b + c)^2) / 2, c = (sigmoid(m) - 1/2) / beta.

    sigmoid(m) stands for the win probability of the original.
    """

    card: ClassVar[LossCard] = LossCard(
        id="sppo_soft",
        family="separate",
        citation="Wu et al. 2024, arXiv 2405.00675",
        formula="((a - c)^2 + (b + c)^2) / 2, c = (sigmoid(m) - 1/2) / beta",
        member="no",
        no_member="it acts on the log-ratios of chosen and rejected separately",
        needs_reference=True,
        sees_rewards=True,
    )

    beta: Float[Array, ""] = setting(0.1, DIVISOR, SearchRange(0.001, 0.3, "sum", log=True))

    def __call__(self, pair: PairLogProbs, progress: Scalar) -> Float[Array, " row"]:
        """The loss of each row."""
        target = (jax.nn.sigmoid(pair.margin) - 0.5) / self.beta
        return (jnp.square(pair.chosen_ratio - target) + jnp.square(pair.rejected_ratio + target)) / 2


class ApoZero(AbstractObjective):
    """sigmoid(-beta a) + sigmoid(beta b).

    Bounded: no gradient in either tail.
    """

    card: ClassVar[LossCard] = LossCard(
        id="apo_zero",
        family="separate",
        citation="D'Oosterlinck et al. 2024, arXiv 2408.06266",
        formula="sigmoid(-beta a) + sigmoid(beta b)",
        member="no",
        no_member="it acts on the log-ratios of chosen and rejected separately",
        needs_reference=True,
    )

    beta: Float[Array, ""] = setting(0.1, POSITIVE, around(0.1, "sum"))

    def __call__(self, pair: PairLogProbs, progress: Scalar) -> Float[Array, " row"]:
        """The loss of each row."""
        return jax.nn.sigmoid(-self.beta * pair.chosen_ratio) + jax.nn.sigmoid(self.beta * pair.rejected_ratio)


class ApoDown(AbstractObjective):
    """sigmoid(beta a) + sigmoid(-beta D).

    Pushes the chosen down too; bounded.
    """

    card: ClassVar[LossCard] = LossCard(
        id="apo_down",
        family="separate",
        citation="D'Oosterlinck et al. 2024, arXiv 2408.06266",
        formula="sigmoid(beta a) + sigmoid(-beta D)",
        member="no",
        no_member="it acts on the log-ratios of chosen and rejected separately",
        needs_reference=True,
    )

    beta: Float[Array, ""] = setting(0.1, POSITIVE, around(0.1, "sum"))

    def __call__(self, pair: PairLogProbs, progress: Scalar) -> Float[Array, " row"]:
        """The loss of each row."""
        return jax.nn.sigmoid(self.beta * pair.chosen_ratio) + jax.nn.sigmoid(-self.beta * log_ratio_margin(pair))


class CalDpo(AbstractObjective):
    """softplus(-D) + c ((a - 1/(2 beta))^2 + (b + 1/(2 beta))^2).

    As in the official code, the first term has no beta.
    """

    card: ClassVar[LossCard] = LossCard(
        id="cal_dpo",
        family="separate",
        citation="Xiao et al. 2024, arXiv 2412.14516",
        formula="softplus(-D) + c ((a - 1/(2 beta))^2 + (b + 1/(2 beta))^2)",
        member="no",
        no_member="it acts on the log-ratios of chosen and rejected separately",
        needs_reference=True,
    )

    beta: Float[Array, ""] = setting(0.1, DIVISOR, SearchRange(0.001, 0.3, "sum", log=True))
    c: Float[Array, ""] = setting(0.5, NON_NEGATIVE, SearchRange(0.15, 1.0, log=True))

    def __call__(self, pair: PairLogProbs, progress: Scalar) -> Float[Array, " row"]:
        """The loss of each row."""
        target = 0.5 / self.beta
        calibration = jnp.square(pair.chosen_ratio - target) + jnp.square(pair.rejected_ratio + target)
        return negative_log_sigmoid(log_ratio_margin(pair)) + self.c * calibration


class Dpop(AbstractObjective):
    """softplus(-beta (D - lam relu(rw - lw)))."""

    card: ClassVar[LossCard] = LossCard(
        id="dpop",
        family="separate",
        citation="Pal et al. 2024 (Smaug), arXiv 2402.13228",
        formula="softplus(-beta (D - lam relu(rw - lw)))",
        member="no",
        no_member="it acts on the log-ratios of chosen and rejected separately",
        needs_reference=True,
    )

    beta: Float[Array, ""] = setting(0.1, POSITIVE, around(0.1, "sum"))
    lam: Float[Array, ""] = setting(50.0, NON_NEGATIVE, SearchRange(5.0, 150.0, log=True))

    def __call__(self, pair: PairLogProbs, progress: Scalar) -> Float[Array, " row"]:
        """The loss of each row."""
        fallen = positive_part(-pair.chosen_ratio)
        return negative_log_sigmoid(self.beta * (log_ratio_margin(pair) - self.lam * fallen))
