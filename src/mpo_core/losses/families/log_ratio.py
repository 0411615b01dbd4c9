"""Functions of u = beta D, the reference-corrected margin of summed log-probs."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from mpo_core.losses.entry import CatalogueEntry, TuningRange, around
from mpo_core.objective.interface import AbstractObjective, Scalar, coefficient
from mpo_core.objective.margin import AbstractMarginObjective
from mpo_core.objective.pair_log_probs import PairLogProbs
from mpo_core.objective.stable import negative_log_sigmoid, positive_part
from mpo_core.objective.terms import log_ratio_margin


class Dpo(AbstractMarginObjective):
    """softplus(-beta D), beta 0.1. Rafailov et al. 2023, arXiv 2305.18290.

    With reference, not length-normalised, a member of MPO.
    """

    beta: Float[Array, ""] = eqx.field(converter=coefficient, default=0.1)

    def of_margin(self, u: Float[Array, "*any"]) -> Float[Array, "*any"]:
        """softplus(-u)."""
        return negative_log_sigmoid(u)


class Hinge(AbstractMarginObjective):
    """relu(1 - beta D), beta 0.05: the hinge-norm loss of RSO. Liu et al. 2023, arXiv 2309.06657.

    With reference, not length-normalised, a member of MPO.
    """

    beta: Float[Array, ""] = eqx.field(converter=coefficient, default=0.05)

    def of_margin(self, u: Float[Array, "*any"]) -> Float[Array, "*any"]:
        """relu(1 - u)."""
        return positive_part(1 - u)


class Ipo(AbstractObjective):
    """(D - 1/(2 tau))^2 on summed log-probs, tau 0.1. Azar et al. 2023, arXiv 2310.12036.

    With reference, not length-normalised (see ipo_mean), a member of MPO whose psi is not monotone.
    """

    tau: Float[Array, ""] = eqx.field(converter=coefficient, default=0.1)

    def __call__(self, pair: PairLogProbs, progress: Scalar) -> Float[Array, " row"]:
        """(D - 1/(2 tau))^2."""
        return jnp.square(log_ratio_margin(pair) - 0.5 / self.tau)


class RDpo(AbstractObjective):
    """softplus(-(beta D + alpha (nw - nl))), beta 0.1, alpha 0.05. Park et al. 2024, arXiv 2403.19159.

    A positive alpha asks more of a chosen trajectory that is the shorter one; some implementations have the opposite
    sign, which is a negative alpha here. With reference, not length-normalised, a member of MPO up to a row constant
    inside psi; equal to dpo where all lengths are.
    """

    beta: Float[Array, ""] = eqx.field(converter=coefficient, default=0.1)
    alpha: Float[Array, ""] = eqx.field(converter=coefficient, default=0.05)

    def __call__(self, pair: PairLogProbs, progress: Scalar) -> Float[Array, " row"]:
        """softplus(-(beta D + alpha (nw - nl)))."""
        longer = pair.chosen_length - pair.rejected_length
        return negative_log_sigmoid(self.beta * log_ratio_margin(pair) + self.alpha * longer)


class CDpo(AbstractMarginObjective):
    """(1 - e) softplus(-u) + e softplus(u), u = beta D, e = epsilon.

    Mitchell 2023, note on conservative DPO. Defaults: beta 0.1, epsilon 0.1. With reference, not length-
    normalised, a member of MPO whose psi is not monotone.
    """

    beta: Float[Array, ""] = eqx.field(converter=coefficient, default=0.1)
    epsilon: Float[Array, ""] = eqx.field(converter=coefficient, default=0.1)

    def of_margin(self, u: Float[Array, "*any"]) -> Float[Array, "*any"]:
        """f(u)."""
        return (1 - self.epsilon) * negative_log_sigmoid(u) + self.epsilon * negative_log_sigmoid(-u)


class RobustDpo(AbstractMarginObjective):
    """((1 - e) softplus(-u) - e softplus(u)) / (1 - 2 e), u = beta D, e = epsilon < 1/2.

    Unbiased under label noise, hence unbounded below for large u. Chowdhury et al. 2024, arXiv 2403.00409.
    Defaults: beta 0.1, epsilon 0.1. With reference, not length-normalised, a member of MPO.
    """

    beta: Float[Array, ""] = eqx.field(converter=coefficient, default=0.1)
    epsilon: Float[Array, ""] = eqx.field(converter=coefficient, default=0.1)

    def of_margin(self, u: Float[Array, "*any"]) -> Float[Array, "*any"]:
        """f(u)."""
        noisy = (1 - self.epsilon) * negative_log_sigmoid(u) - self.epsilon * negative_log_sigmoid(-u)
        return noisy / (1 - 2 * self.epsilon)


class ExoPair(AbstractMarginObjective):
    """s(u) (log s(u) - log(1 - e)) + s(-u) (log s(-u) - log e), u = beta D, e = epsilon.

    s is the sigmoid; epsilon > 0. Least, 0, at u = log((1 - epsilon) / epsilon). Ji et al. 2024, arXiv
    2402.00856. Defaults: beta 0.1, epsilon 0.001. With reference, not length-normalised, a member of MPO whose
    psi is not monotone.
    """

    beta: Float[Array, ""] = eqx.field(converter=coefficient, default=0.1)
    epsilon: Float[Array, ""] = eqx.field(converter=coefficient, default=0.001)

    def of_margin(self, u: Float[Array, "*any"]) -> Float[Array, "*any"]:
        """f(u)."""
        chosen = jax.nn.sigmoid(u) * (-negative_log_sigmoid(u) - jnp.log1p(-self.epsilon))
        rejected = jax.nn.sigmoid(-u) * (-negative_log_sigmoid(-u) - jnp.log(self.epsilon))
        return chosen + rejected


class Inpo(AbstractObjective):
    """(D - 1/(2 eta))^2; eta 0.0075. Zhang et al. 2024, arXiv 2407.00617.

    The first iteration, where the previous policy is the reference: its weight tau drops out and the loss is ipo
    with tau = eta. With reference, not length-normalised, a member of MPO whose psi is not monotone.
    """

    eta: Float[Array, ""] = eqx.field(converter=coefficient, default=0.0075)

    def __call__(self, pair: PairLogProbs, progress: Scalar) -> Float[Array, " row"]:
        """The loss of each row."""
        return jnp.square(log_ratio_margin(pair) - 0.5 / self.eta)


ENTRIES = (
    CatalogueEntry(
        id="dpo",
        factory=Dpo,
        family="log_ratio",
        citation="Rafailov et al. 2023, arXiv 2305.18290",
        formula="softplus(-beta D)",
        needs_reference=True,
        length_normalised=False,
        member="MR",
        sft_epochs=10,
        tuning=(TuningRange("beta", 0.01, 0.1, "sum", log=True),),
    ),
    CatalogueEntry(
        id="hinge",
        factory=Hinge,
        family="log_ratio",
        citation="Liu et al. 2023, arXiv 2309.06657",
        formula="relu(1 - beta D)",
        needs_reference=True,
        length_normalised=False,
        member="MR",
        tuning=(around("beta", 0.05, "sum"),),
    ),
    CatalogueEntry(
        id="ipo",
        factory=Ipo,
        family="log_ratio",
        citation="Azar et al. 2023, arXiv 2310.12036",
        formula="(D - 1/(2 tau))^2",
        needs_reference=True,
        length_normalised=False,
        member="MR",
        sft_epochs=10,
        tuning=(TuningRange("tau", 0.01, 1.0, "sum", log=True),),
    ),
    CatalogueEntry(
        id="r_dpo",
        factory=RDpo,
        family="log_ratio",
        citation="Park et al. 2024, arXiv 2403.19159",
        formula="softplus(-(beta D + alpha (nw - nl)))",
        needs_reference=True,
        length_normalised=False,
        member="MR~row",
        sft_epochs=10,
        tuning=(
            TuningRange("beta", 0.01, 0.1, "sum", log=True),
            TuningRange("alpha", 0.05, 1.0, "sum", log=True),
        ),
    ),
    CatalogueEntry(
        id="cdpo",
        factory=CDpo,
        family="log_ratio",
        citation="Mitchell 2023, note on conservative DPO",
        formula="(1 - e) softplus(-u) + e softplus(u), u = beta D, e = epsilon",
        needs_reference=True,
        length_normalised=False,
        member="MR",
        tuning=(
            around("beta", 0.1, "sum"),
            TuningRange("epsilon", 0.1, 0.2),
        ),
    ),
    CatalogueEntry(
        id="robust_dpo",
        factory=RobustDpo,
        family="log_ratio",
        citation="Chowdhury et al. 2024, arXiv 2403.00409",
        formula="((1 - e) softplus(-u) - e softplus(u)) / (1 - 2 e), u = beta D, e = epsilon < 1/2",
        needs_reference=True,
        length_normalised=False,
        member="MR",
        tuning=(
            around("beta", 0.1, "sum"),
            around("epsilon", 0.1),
        ),
    ),
    CatalogueEntry(
        id="exo_pair",
        factory=ExoPair,
        family="log_ratio",
        citation="Ji et al. 2024, arXiv 2402.00856",
        formula="s(u) (log s(u) - log(1 - e)) + s(-u) (log s(-u) - log e), u = beta D, e = epsilon",
        needs_reference=True,
        length_normalised=False,
        member="MR",
        tuning=(around("beta", 0.1, "sum"),),
    ),
    CatalogueEntry(
        id="inpo",
        factory=Inpo,
        family="log_ratio",
        citation="Zhang et al. 2024, arXiv 2407.00617",
        formula="(D - 1/(2 eta))^2",
        needs_reference=True,
        length_normalised=False,
        member="MR",
        tuning=(around("eta", 0.0075, "sum"),),
    ),
)
