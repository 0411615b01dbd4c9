"""Functions of u = beta D, the reference-corrected margin of summed log-probs."""

from typing import ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from mpo_core.losses.card import LossCard
from mpo_core.mirror.maps import Log, LogSigmoid, MinZero, NegativeSquare, Zero
from mpo_core.mirror.mirror_objective import MirrorObjective, from_margin_loss
from mpo_core.objective.domain import DIVISOR, LABEL_NOISE, POSITIVE, REAL, Domain
from mpo_core.objective.interface import AbstractObjective, Scalar
from mpo_core.objective.margin import AbstractMarginObjective
from mpo_core.objective.pair_log_probs import PairLogProbs
from mpo_core.objective.setting import SearchRange, around, setting
from mpo_core.objective.stable import negative_log_sigmoid, positive_part
from mpo_core.objective.terms import log_ratio_margin


class Dpo(AbstractMarginObjective):
    """softplus(-beta D)."""

    card: ClassVar[LossCard] = LossCard(
        id="dpo",
        family="log_ratio",
        citation="Rafailov et al. 2023, arXiv 2305.18290",
        formula="softplus(-beta D)",
        member="MR",
        needs_reference=True,
        sft_epochs=10,
    )

    beta: Float[Array, ""] = setting(0.1, POSITIVE, SearchRange(0.01, 0.3, "sum", log=True))

    def of_margin(self, u: Float[Array, "*any"]) -> Float[Array, "*any"]:
        """softplus(-u)."""
        return negative_log_sigmoid(u)

    def mirror(self) -> MirrorObjective:
        """The same as a point of the mirror family."""
        return MirrorObjective(Log(self.beta), LogSigmoid(), Zero(), "sum", "sum", True)


class Hinge(AbstractMarginObjective):
    """relu(1 - beta D): the hinge-norm loss of RSO."""

    card: ClassVar[LossCard] = LossCard(
        id="hinge",
        family="log_ratio",
        citation="Liu et al. 2023, arXiv 2309.06657",
        formula="relu(1 - beta D)",
        member="MR",
        needs_reference=True,
    )

    beta: Float[Array, ""] = setting(0.05, POSITIVE, around(0.05, "sum"))

    def of_margin(self, u: Float[Array, "*any"]) -> Float[Array, "*any"]:
        """relu(1 - u)."""
        return positive_part(1 - u)

    def mirror(self) -> MirrorObjective:
        """The same as a point of the mirror family."""
        return MirrorObjective(Log(self.beta), MinZero(1.0), Zero(), "sum", "sum", True)


class Ipo(AbstractObjective):
    """(D - 1/(2 tau))^2 on summed log-probs."""

    card: ClassVar[LossCard] = LossCard(
        id="ipo",
        family="log_ratio",
        citation="Azar et al. 2023, arXiv 2310.12036",
        formula="(D - 1/(2 tau))^2",
        member="MR",
        needs_reference=True,
        sft_epochs=10,
    )

    tau: Float[Array, ""] = setting(0.1, DIVISOR, SearchRange(0.01, 1.0, "sum", log=True))

    def __call__(self, pair: PairLogProbs, progress: Scalar) -> Float[Array, " row"]:
        """(D - 1/(2 tau))^2."""
        return jnp.square(log_ratio_margin(pair) - 0.5 / self.tau)

    def mirror(self) -> MirrorObjective:
        """The same as a point of the mirror family."""
        return MirrorObjective(Log(), NegativeSquare(0.5 / self.tau), Zero(), "sum", "sum", True)


class RDpo(AbstractObjective):
    """softplus(-(beta D + alpha (nw - nl))).

    A positive alpha asks more of a chosen trajectory that is the shorter one; some implementations have the opposite
    sign, which is a negative alpha here.
    """

    card: ClassVar[LossCard] = LossCard(
        id="r_dpo",
        family="log_ratio",
        citation="Park et al. 2024, arXiv 2403.19159",
        formula="softplus(-(beta D + alpha (nw - nl)))",
        member="MR~row",
        no_member="its psi carries a constant that differs from row to row (the difference in length)",
        needs_reference=True,
        sft_epochs=10,
    )

    beta: Float[Array, ""] = setting(0.1, POSITIVE, SearchRange(0.01, 0.3, "sum", log=True))
    alpha: Float[Array, ""] = setting(0.05, REAL, SearchRange(0.015, 1.0, "sum", log=True))

    def __call__(self, pair: PairLogProbs, progress: Scalar) -> Float[Array, " row"]:
        """softplus(-(beta D + alpha (nw - nl)))."""
        longer = pair.chosen_length - pair.rejected_length
        return negative_log_sigmoid(self.beta * log_ratio_margin(pair) + self.alpha * longer)


class CDpo(AbstractMarginObjective):
    """(1 - epsilon) softplus(-u) + epsilon softplus(u), u = beta D."""

    card: ClassVar[LossCard] = LossCard(
        id="cdpo",
        family="log_ratio",
        citation="Mitchell 2023, note on conservative DPO",
        formula="(1 - epsilon) softplus(-u) + epsilon softplus(u), u = beta D",
        member="MR",
        needs_reference=True,
    )

    beta: Float[Array, ""] = setting(0.1, POSITIVE, around(0.1, "sum"))
    epsilon: Float[Array, ""] = setting(0.1, LABEL_NOISE, SearchRange(0.05, 0.2))

    def of_margin(self, u: Float[Array, "*any"]) -> Float[Array, "*any"]:
        """f(u)."""
        return (1 - self.epsilon) * negative_log_sigmoid(u) + self.epsilon * negative_log_sigmoid(-u)

    def mirror(self) -> MirrorObjective:
        """The same as a point of the mirror family."""
        return from_margin_loss(self, monotone=False)


class RobustDpo(AbstractMarginObjective):
    """((1 - epsilon) softplus(-u) - epsilon softplus(u)) / (1 - 2 epsilon), u = beta D, epsilon < 1/2.

    Unbiased under label noise, hence unbounded below for large u.
    """

    card: ClassVar[LossCard] = LossCard(
        id="robust_dpo",
        family="log_ratio",
        citation="Chowdhury et al. 2024, arXiv 2403.00409",
        formula="((1 - epsilon) softplus(-u) - epsilon softplus(u)) / (1 - 2 epsilon), u = beta D",
        member="MR",
        needs_reference=True,
    )

    beta: Float[Array, ""] = setting(0.1, POSITIVE, around(0.1, "sum"))
    epsilon: Float[Array, ""] = setting(0.1, LABEL_NOISE, around(0.1))

    def of_margin(self, u: Float[Array, "*any"]) -> Float[Array, "*any"]:
        """f(u)."""
        noisy = (1 - self.epsilon) * negative_log_sigmoid(u) - self.epsilon * negative_log_sigmoid(-u)
        return noisy / (1 - 2 * self.epsilon)

    def mirror(self) -> MirrorObjective:
        """The same as a point of the mirror family."""
        return from_margin_loss(self, monotone=True)


class ExoPair(AbstractMarginObjective):
    """sigmoid(u) (log sigmoid(u) - log(1 - epsilon)) + sigmoid(-u) (log sigmoid(-u) - log epsilon), u = beta D.

    epsilon > 0. Least, 0, at u = log((1 - epsilon) / epsilon).
    """

    card: ClassVar[LossCard] = LossCard(
        id="exo_pair",
        family="log_ratio",
        citation="Ji et al. 2024, arXiv 2402.00856",
        formula="sigmoid(u) (log sigmoid(u) - log(1 - epsilon)) + sigmoid(-u) (log sigmoid(-u) - log epsilon), u "
        "= beta D",
        member="MR",
        needs_reference=True,
    )

    beta: Float[Array, ""] = setting(0.1, POSITIVE, around(0.1, "sum"))
    epsilon: Float[Array, ""] = setting(0.001, Domain(0.0, 0.5, low_open=True, high_open=True))

    def of_margin(self, u: Float[Array, "*any"]) -> Float[Array, "*any"]:
        """f(u)."""
        chosen = jax.nn.sigmoid(u) * (-negative_log_sigmoid(u) - jnp.log1p(-self.epsilon))
        rejected = jax.nn.sigmoid(-u) * (-negative_log_sigmoid(-u) - jnp.log(self.epsilon))
        return chosen + rejected

    def mirror(self) -> MirrorObjective:
        """The same as a point of the mirror family."""
        return from_margin_loss(self, monotone=False)


class Inpo(AbstractObjective):
    """(D - 1/(2 eta))^2.

    The first iteration, where the previous policy is the reference: its weight tau drops out and the loss is ipo with
    tau = eta.
    """

    card: ClassVar[LossCard] = LossCard(
        id="inpo",
        family="log_ratio",
        citation="Zhang et al. 2024, arXiv 2407.00617",
        formula="(D - 1/(2 eta))^2",
        member="MR",
        needs_reference=True,
    )

    eta: Float[Array, ""] = setting(0.0075, DIVISOR, around(0.0075, "sum"))

    def __call__(self, pair: PairLogProbs, progress: Scalar) -> Float[Array, " row"]:
        """The loss of each row."""
        return jnp.square(log_ratio_margin(pair) - 0.5 / self.eta)

    def mirror(self) -> MirrorObjective:
        """The same as a point of the mirror family."""
        return MirrorObjective(Log(), NegativeSquare(0.5 / self.eta), Zero(), "sum", "sum", True)
