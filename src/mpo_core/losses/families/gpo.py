"""Generalised Preference Optimization: other convex functions of the scaled margin."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from mpo_core.losses.entry import CatalogueEntry, around
from mpo_core.objective.interface import coefficient
from mpo_core.objective.margin import AbstractMarginObjective
from mpo_core.objective.stable import bounded_exp, positive_part


class GpoExp(AbstractMarginObjective):
    """e^-u, u = beta D; beta 0.1. Tang et al. 2024, arXiv 2402.05749.

    Constant below u = -30. With reference, not length-normalised, a member of MPO.
    """

    beta: Float[Array, ""] = eqx.field(converter=coefficient, default=0.1)

    def of_margin(self, u: Float[Array, "*any"]) -> Float[Array, "*any"]:
        """f(u)."""
        return bounded_exp(-u)


class GpoTruncatedQuadratic(AbstractMarginObjective):
    """relu(1 - u)^2, u = beta D; beta 0.1. Tang et al. 2024, arXiv 2402.05749.

    With reference, not length-normalised, a member of MPO.
    """

    beta: Float[Array, ""] = eqx.field(converter=coefficient, default=0.1)

    def of_margin(self, u: Float[Array, "*any"]) -> Float[Array, "*any"]:
        """f(u)."""
        return jnp.square(positive_part(1 - u))


class GpoSavage(AbstractMarginObjective):
    """sigmoid(-u)^2, u = beta D; beta 0.1. Tang et al. 2024, arXiv 2402.05749.

    Bounded. With reference, not length-normalised, a member of MPO.
    """

    beta: Float[Array, ""] = eqx.field(converter=coefficient, default=0.1)

    def of_margin(self, u: Float[Array, "*any"]) -> Float[Array, "*any"]:
        """f(u)."""
        return jnp.square(jax.nn.sigmoid(-u))


ENTRIES = (
    CatalogueEntry(
        id="gpo_exp",
        factory=GpoExp,
        family="log_ratio",
        citation="Tang et al. 2024, arXiv 2402.05749",
        formula="e^-u, u = beta D",
        needs_reference=True,
        length_normalised=False,
        member="MR",
        tuning=(around("beta", 0.1, "sum"),),
    ),
    CatalogueEntry(
        id="gpo_trunc_quad",
        factory=GpoTruncatedQuadratic,
        family="log_ratio",
        citation="Tang et al. 2024, arXiv 2402.05749",
        formula="relu(1 - u)^2, u = beta D",
        needs_reference=True,
        length_normalised=False,
        member="MR",
        tuning=(around("beta", 0.1, "sum"),),
    ),
    CatalogueEntry(
        id="gpo_savage",
        factory=GpoSavage,
        family="log_ratio",
        citation="Tang et al. 2024, arXiv 2402.05749",
        formula="sigmoid(-u)^2, u = beta D",
        needs_reference=True,
        length_normalised=False,
        member="MR",
        tuning=(around("beta", 0.1, "sum"),),
    ),
)
