"""Generalised Preference Optimization: other convex functions of the scaled margin."""

from typing import ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from mpo_core.losses.card import LossCard
from mpo_core.mirror.mirror_objective import MirrorObjective, from_margin_loss
from mpo_core.objective.domain import POSITIVE
from mpo_core.objective.margin import AbstractMarginObjective
from mpo_core.objective.setting import around, setting
from mpo_core.objective.stable import bounded_exp, positive_part


class GpoExp(AbstractMarginObjective):
    """e^-u, u = beta D.

    Constant below u = -30.
    """

    card: ClassVar[LossCard] = LossCard(
        id="gpo_exp",
        family="log_ratio",
        citation="Tang et al. 2024, arXiv 2402.05749",
        formula="e^-u, u = beta D",
        member="MR",
        needs_reference=True,
    )

    beta: Float[Array, ""] = setting(0.1, POSITIVE, around(0.1, "sum"))

    def of_margin(self, u: Float[Array, "*any"]) -> Float[Array, "*any"]:
        """f(u)."""
        return bounded_exp(-u)

    def mirror(self) -> MirrorObjective:
        """The same as a point of the mirror family."""
        return from_margin_loss(self, monotone=True)


class GpoTruncatedQuadratic(AbstractMarginObjective):
    """relu(1 - u)^2, u = beta D."""

    card: ClassVar[LossCard] = LossCard(
        id="gpo_trunc_quad",
        family="log_ratio",
        citation="Tang et al. 2024, arXiv 2402.05749",
        formula="relu(1 - u)^2, u = beta D",
        member="MR",
        needs_reference=True,
    )

    beta: Float[Array, ""] = setting(0.1, POSITIVE, around(0.1, "sum"))

    def of_margin(self, u: Float[Array, "*any"]) -> Float[Array, "*any"]:
        """f(u)."""
        return jnp.square(positive_part(1 - u))

    def mirror(self) -> MirrorObjective:
        """The same as a point of the mirror family."""
        return from_margin_loss(self, monotone=True)


class GpoSavage(AbstractMarginObjective):
    """sigmoid(-u)^2, u = beta D.

    Bounded.
    """

    card: ClassVar[LossCard] = LossCard(
        id="gpo_savage",
        family="log_ratio",
        citation="Tang et al. 2024, arXiv 2402.05749",
        formula="sigmoid(-u)^2, u = beta D",
        member="MR",
        needs_reference=True,
    )

    beta: Float[Array, ""] = setting(0.1, POSITIVE, around(0.1, "sum"))

    def of_margin(self, u: Float[Array, "*any"]) -> Float[Array, "*any"]:
        """f(u)."""
        return jnp.square(jax.nn.sigmoid(-u))

    def mirror(self) -> MirrorObjective:
        """The same as a point of the mirror family."""
        return from_margin_loss(self, monotone=True)
