"""Losses found by language-model search: DiscoPOP and its siblings, functions of u = beta D and some of the batch."""

from typing import ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from mpo_core.losses.card import LossCard
from mpo_core.mirror.mirror_objective import MirrorObjective, from_margin_loss
from mpo_core.objective.domain import DIVISOR, POSITIVE
from mpo_core.objective.interface import AbstractObjective, Scalar
from mpo_core.objective.margin import AbstractMarginObjective
from mpo_core.objective.pair_log_probs import PairLogProbs
from mpo_core.objective.setting import around, setting
from mpo_core.objective.stable import bounded_exp, negative_log_sigmoid, positive_part
from mpo_core.objective.terms import log_ratio_margin

UNIT = 0.05
"""The margin that the official code measures batch statistics in."""


def _blend(share: Float[Array, " row"], u: Float[Array, " row"]) -> Float[Array, " row"]:
    return share * negative_log_sigmoid(u) + (1 - share) * positive_part(1 - u)


def _variance(v: Float[Array, " row"]) -> Float[Array, ""]:
    """Unbiased variance over the rows; 0 for one row."""
    return jnp.square(v - v.mean()).sum() / max(v.size - 1, 1)


def _deviation(v: Float[Array, " row"]) -> Float[Array, ""]:
    """Square root of the variance, with gradient 0 where all rows are equal."""
    variance = _variance(v)
    return jnp.where(variance > 0, jnp.sqrt(jnp.where(variance > 0, variance, 1.0)), 0.0)


class DiscoPop(AbstractMarginObjective):
    """(1 - w) softplus(-u) + w e^-u, w = sigmoid(u / temperature), u = beta D.

    Not convex: at u = 0 it pushes the chosen log-prob down.
    """

    card: ClassVar[LossCard] = LossCard(
        id="discopop",
        family="llm_proposed",
        citation="Lu et al. 2024, arXiv 2406.08414",
        formula="(1 - w) softplus(-u) + w e^-u, w = sigmoid(u / temperature), u = beta D",
        member="MR",
        needs_reference=True,
    )

    beta: Float[Array, ""] = setting(0.05, POSITIVE, around(0.05, "sum"))
    temperature: Float[Array, ""] = setting(0.05, DIVISOR)

    def of_margin(self, u: Float[Array, "*any"]) -> Float[Array, "*any"]:
        """f(u)."""
        share = jax.nn.sigmoid(u / self.temperature)
        return (1 - share) * negative_log_sigmoid(u) + share * bounded_exp(-u)

    def mirror(self) -> MirrorObjective:
        """The same as a point of the mirror family."""
        return from_margin_loss(self, monotone=False)


class CellLoss(AbstractMarginObjective):
    """(e^-u + softplus(-u)) / 2, u = beta D.

    The exponential is constant below u = -30.
    """

    card: ClassVar[LossCard] = LossCard(
        id="cell",
        family="llm_proposed",
        citation="Lu et al. 2024, arXiv 2406.08414",
        formula="(e^-u + softplus(-u)) / 2, u = beta D",
        member="MR",
        needs_reference=True,
    )

    beta: Float[Array, ""] = setting(0.05, POSITIVE, around(0.05, "sum"))

    def of_margin(self, u: Float[Array, "*any"]) -> Float[Array, "*any"]:
        """f(u)."""
        return (bounded_exp(-u) + negative_log_sigmoid(u)) / 2

    def mirror(self) -> MirrorObjective:
        """The same as a point of the mirror family."""
        return from_margin_loss(self, monotone=True)


class Padll(AbstractMarginObjective):
    """0.9 (1 - [u < 0] / 2) softplus(-u), u = beta D."""

    card: ClassVar[LossCard] = LossCard(
        id="padll",
        family="llm_proposed",
        citation="Lu et al. 2024, arXiv 2406.08414",
        formula="0.9 (1 - [u < 0] / 2) softplus(-u), u = beta D",
        member="MR",
        needs_reference=True,
    )

    beta: Float[Array, ""] = setting(0.05, POSITIVE, around(0.05, "sum"))

    def of_margin(self, u: Float[Array, "*any"]) -> Float[Array, "*any"]:
        """f(u)."""
        return 0.9 * jnp.where(u < 0, 0.5, 1.0) * negative_log_sigmoid(u)

    def mirror(self) -> MirrorObjective:
        """The same as a point of the mirror family."""
        return from_margin_loss(self, monotone=False)


class Pfl(AbstractObjective):
    """softplus(-u) / 2 if lw > ll else 2 relu(1 - u), u = beta D."""

    card: ClassVar[LossCard] = LossCard(
        id="pfl",
        family="llm_proposed",
        citation="Lu et al. 2024, arXiv 2406.08414",
        formula="softplus(-u) / 2 if lw > ll else 2 relu(1 - u), u = beta D",
        member="no",
        no_member="which branch it takes depends on the margin without reference",
        needs_reference=True,
    )

    beta: Float[Array, ""] = setting(0.05, POSITIVE, around(0.05, "sum"))

    def __call__(self, pair: PairLogProbs, progress: Scalar) -> Float[Array, " row"]:
        """The loss of each row."""
        u = self.beta * log_ratio_margin(pair)
        return jnp.where(pair.chosen > pair.rejected, negative_log_sigmoid(u) / 2, 2 * positive_part(1 - u))


class Aql(AbstractObjective):
    """w softplus(-u) + (1 - w) relu(1 - u), w = sigmoid(q - v), q = 0.5 + 0.01 (sigmoid(mean v) - 0.5), v = u / 0.05.

    The statistics are those of the minibatch, with the 0.05 of the official code whatever beta is.
    """

    card: ClassVar[LossCard] = LossCard(
        id="aql",
        family="llm_proposed",
        citation="Lu et al. 2024, arXiv 2406.08414",
        formula="w softplus(-u) + (1 - w) relu(1 - u), w = sigmoid(q - v), v = u / 0.05, q = 0.5 "
        "+ 0.01 (sigmoid(mean v) - 0.5), u = beta D",
        member="no",
        no_member="the loss of a row depends on the other rows of the batch",
        needs_reference=True,
    )

    beta: Float[Array, ""] = setting(0.05, POSITIVE, around(0.05, "sum"))

    def __call__(self, pair: PairLogProbs, progress: Scalar) -> Float[Array, " row"]:
        """The loss of each row."""
        u = self.beta * log_ratio_margin(pair)
        v = u / UNIT
        quantile = 0.5 + 0.01 * (jax.nn.sigmoid(v.mean()) - 0.5)
        return _blend(jax.nn.sigmoid(quantile - v), u)


class Aqfl(AbstractObjective):
    """w softplus(-u) + (1 - w) relu(1 - u), w = sigmoid(0.1 |v - q|), v = u / 0.05.

    q = 0.95 std(v) mean(sigmoid(-v)) + 0.05 sigmoid(mean v).

    The statistics are those of the minibatch, with the 0.05 of the official code whatever beta is.
    """

    card: ClassVar[LossCard] = LossCard(
        id="aqfl",
        family="llm_proposed",
        citation="Lu et al. 2024, arXiv 2406.08414",
        formula="w softplus(-u) + (1 - w) relu(1 - u), w = sigmoid(0.1 |v - q|), v = u / 0.05, q "
        "= 0.95 std(v) mean(sigmoid(-v)) + 0.05 sigmoid(mean v), u = beta D",
        member="no",
        no_member="the loss of a row depends on the other rows of the batch",
        needs_reference=True,
    )

    beta: Float[Array, ""] = setting(0.05, POSITIVE, around(0.05, "sum"))

    def __call__(self, pair: PairLogProbs, progress: Scalar) -> Float[Array, " row"]:
        """The loss of each row."""
        u = self.beta * log_ratio_margin(pair)
        v = u / UNIT
        quantile = 0.95 * _deviation(v) * jax.nn.sigmoid(-v).mean() + 0.05 * jax.nn.sigmoid(v.mean())
        return _blend(jax.nn.sigmoid(0.1 * jnp.abs(v - quantile)), u)


class Dbaql(AbstractObjective):
    """c softplus(-u / 0.9) + (1 - c) e^(-0.9 u), c = sigmoid(var(u / 0.05)), u = beta D.

    The statistics are those of the minibatch, with the 0.05 of the official code whatever beta is.
    """

    card: ClassVar[LossCard] = LossCard(
        id="dbaql",
        family="llm_proposed",
        citation="Lu et al. 2024, arXiv 2406.08414",
        formula="c softplus(-u / 0.9) + (1 - c) e^(-0.9 u), c = sigmoid(var(u / 0.05)), u = beta D",
        member="no",
        no_member="the loss of a row depends on the other rows of the batch",
        needs_reference=True,
    )

    beta: Float[Array, ""] = setting(0.05, POSITIVE, around(0.05, "sum"))

    def __call__(self, pair: PairLogProbs, progress: Scalar) -> Float[Array, " row"]:
        """The loss of each row."""
        u = self.beta * log_ratio_margin(pair)
        share = jax.nn.sigmoid(_variance(u / UNIT))
        return share * negative_log_sigmoid(u / 0.9) + (1 - share) * bounded_exp(-0.9 * u)
