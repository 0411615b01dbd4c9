"""Losses that read the reward margin m of a row."""

from typing import ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from mpo_core.losses.card import LossCard
from mpo_core.objective.domain import LARGEST, NON_NEGATIVE, POSITIVE, REAL, SHARE, SMALLEST, Domain
from mpo_core.objective.interface import AbstractObjective, Scalar
from mpo_core.objective.pair_log_probs import PairLogProbs
from mpo_core.objective.setting import SearchRange, around, setting
from mpo_core.objective.stable import bounded_exp, negative_log_sigmoid
from mpo_core.objective.terms import log_ratio_margin, mean_log_prob_margin


def _bernoulli_kl(u: Float[Array, " row"], v: Float[Array, " row"]) -> Float[Array, " row"]:
    """KL(Bernoulli(sigmoid(u)) || Bernoulli(sigmoid(v)))."""
    chosen = jax.nn.sigmoid(u) * (negative_log_sigmoid(v) - negative_log_sigmoid(u))
    return chosen + jax.nn.sigmoid(-u) * (negative_log_sigmoid(-v) - negative_log_sigmoid(-u))


class MaDpo(AbstractObjective):
    """w softplus(-beta D), w = sigmoid(c m) / sigmoid(m) if m > -tau else 1.

    c(m) falls from cmax to cmin: c = cmin + (cmax - cmin) / (1 + (cmax - 1) / (1 - cmin) e^(k (|m| - tau))).
    """

    card: ClassVar[LossCard] = LossCard(
        id="madpo",
        family="rewards",
        citation="Margin-adaptive DPO 2025 (official code)",
        formula="w softplus(-beta D), w = sigmoid(c m) / sigmoid(m) if m > -tau else 1, c = cmin + (cmax - cmin) "
        "/ (1 + e^(k (|m| - tau)) (cmax - 1) / (1 - cmin))",
        member="w",
        no_member="it weighs each row by a factor that psi does not see",
        needs_reference=True,
        sees_rewards=True,
    )

    beta: Float[Array, ""] = setting(0.1, POSITIVE, around(0.1, "sum"))
    cmin: Float[Array, ""] = setting(0.5, Domain(0.0, 1.0, high_open=True))
    cmax: Float[Array, ""] = setting(2.0, Domain(1.0, LARGEST))
    k: Float[Array, ""] = setting(1.0, NON_NEGATIVE)
    tau: Float[Array, ""] = setting(2.0, REAL)

    def __call__(self, pair: PairLogProbs, progress: Scalar) -> Float[Array, " row"]:
        """The loss of each row."""
        margin = pair.margin
        ratio = (self.cmax - 1) / (1 - self.cmin)
        steepness = bounded_exp(self.k * (jnp.abs(margin) - self.tau))
        c = self.cmin + (self.cmax - self.cmin) / (1 + ratio * steepness)
        weight = bounded_exp(negative_log_sigmoid(margin) - negative_log_sigmoid(c * margin))
        weight = jnp.where(margin > -self.tau, weight, 1.0)
        return weight * negative_log_sigmoid(self.beta * log_ratio_margin(pair))


class Mmpo(AbstractObjective):
    """p softplus(-u) + (1 - p) softplus(u), p = sigmoid(bt m), u = beta D.

    With m = 0 it pulls D to 0.
    """

    card: ClassVar[LossCard] = LossCard(
        id="mmpo",
        family="rewards",
        citation="Kim et al. 2024 (Margin Matching)",
        formula="p softplus(-u) + (1 - p) softplus(u), p = sigmoid(bt m), u = beta D",
        member="MR~row",
        no_member="its psi carries a constant that differs from row to row (the soft label)",
        needs_reference=True,
        sees_rewards=True,
    )

    beta: Float[Array, ""] = setting(0.01, POSITIVE, around(0.01, "sum"))
    bt: Float[Array, ""] = setting(1.0, NON_NEGATIVE, SearchRange(0.3, 2.2, log=True))

    def __call__(self, pair: PairLogProbs, progress: Scalar) -> Float[Array, " row"]:
        """The loss of each row."""
        u, label = self.beta * log_ratio_margin(pair), jax.nn.sigmoid(self.bt * pair.margin)
        return label * negative_log_sigmoid(u) + (1 - label) * negative_log_sigmoid(-u)


class RpoBackwardKl(AbstractObjective):
    """KL(Bernoulli(sigmoid(v)) || Bernoulli(sigmoid(u))), u = beta D, v = eta m.

    Least at D = eta m / beta.
    """

    card: ClassVar[LossCard] = LossCard(
        id="rpo_bwd_kl",
        family="rewards",
        citation="Sun et al. 2025 (Reward-aware Preference Optimization)",
        formula="KL(Bernoulli(sigmoid(v)) || Bernoulli(sigmoid(u))), u = beta D, v = eta m",
        member="MR~row",
        no_member="its psi carries a constant that differs from row to row (the margin)",
        needs_reference=True,
        sees_rewards=True,
    )

    beta: Float[Array, ""] = setting(0.2, POSITIVE, around(0.2, "sum"))
    eta: Float[Array, ""] = setting(1.0, NON_NEGATIVE, around(1.0))

    def __call__(self, pair: PairLogProbs, progress: Scalar) -> Float[Array, " row"]:
        """The loss of each row."""
        u, v = self.beta * log_ratio_margin(pair), self.eta * pair.margin
        return _bernoulli_kl(v, u)


class RpoForwardKl(AbstractObjective):
    """KL(Bernoulli(sigmoid(u)) || Bernoulli(sigmoid(v))), u = beta D, v = eta m.

    Least at D = eta m / beta.
    """

    card: ClassVar[LossCard] = LossCard(
        id="rpo_fwd_kl",
        family="rewards",
        citation="Sun et al. 2025 (Reward-aware Preference Optimization)",
        formula="KL(Bernoulli(sigmoid(u)) || Bernoulli(sigmoid(v))), u = beta D, v = eta m",
        member="MR~row",
        no_member="its psi carries a constant that differs from row to row (the margin)",
        needs_reference=True,
        sees_rewards=True,
    )

    beta: Float[Array, ""] = setting(0.2, POSITIVE, around(0.2, "sum"))
    eta: Float[Array, ""] = setting(1.0, NON_NEGATIVE, around(1.0))

    def __call__(self, pair: PairLogProbs, progress: Scalar) -> Float[Array, " row"]:
        """The loss of each row."""
        u, v = self.beta * log_ratio_margin(pair), self.eta * pair.margin
        return _bernoulli_kl(u, v)


class RpoSquare(AbstractObjective):
    """(u - v)^2, u = beta D, v = eta m.

    Least at D = eta m / beta.
    """

    card: ClassVar[LossCard] = LossCard(
        id="rpo_sq",
        family="rewards",
        citation="Sun et al. 2025 (Reward-aware Preference Optimization)",
        formula="(u - v)^2, u = beta D, v = eta m",
        member="MR~row",
        no_member="its psi carries a constant that differs from row to row (the margin)",
        needs_reference=True,
        sees_rewards=True,
    )

    beta: Float[Array, ""] = setting(0.2, POSITIVE, around(0.2, "sum"))
    eta: Float[Array, ""] = setting(1.0, NON_NEGATIVE, around(1.0))

    def __call__(self, pair: PairLogProbs, progress: Scalar) -> Float[Array, " row"]:
        """The loss of each row."""
        u, v = self.beta * log_ratio_margin(pair), self.eta * pair.margin
        return jnp.square(u - v)


class MoDpo(AbstractObjective):
    """softplus(-(beta D - (1 - w0) m) / w0).

    m is meant as the margin of the other objectives' reward; here it is the margin there is.
    """

    card: ClassVar[LossCard] = LossCard(
        id="modpo",
        family="rewards",
        citation="Zhou et al. 2023, arXiv 2310.03708",
        formula="softplus(-(beta D - (1 - w0) m) / w0)",
        member="MR~row",
        no_member="its psi carries a constant that differs from row to row (the margin)",
        needs_reference=True,
        sees_rewards=True,
    )

    beta: Float[Array, ""] = setting(0.1, POSITIVE, around(0.1, "sum"))
    w0: Float[Array, ""] = setting(0.5, Domain(SMALLEST, 1.0))

    def __call__(self, pair: PairLogProbs, progress: Scalar) -> Float[Array, " row"]:
        """The loss of each row."""
        u = self.beta * log_ratio_margin(pair) - (1 - self.w0) * pair.margin
        return negative_log_sigmoid(u / self.w0)


class MaPo(AbstractObjective):
    """softplus(-beta (a - gap b)), gap = clip(m, 0, 1).

    The setting dr fixes the gap of rewards: 1 is dpo, 0 pushes nothing down.
    """

    card: ClassVar[LossCard] = LossCard(
        id="mappo",
        family="rewards",
        citation="Lan et al. 2025, arXiv 2507.21183",
        formula="softplus(-beta (a - gap b)), gap = dr or clip(m, 0, 1)",
        member="no",
        no_member="it weighs chosen and rejected unequally",
        needs_reference=True,
        sees_rewards=True,
    )

    beta: Float[Array, ""] = setting(0.1, POSITIVE, around(0.1, "sum"))
    dr: Float[Array, ""] | None = setting(None, SHARE)
    """Reward gap in [0, 1]; None takes it from the margin of the row."""

    def __call__(self, pair: PairLogProbs, progress: Scalar) -> Float[Array, " row"]:
        """The loss of each row."""
        gap = jnp.clip(pair.margin, 0.0, 1.0) if self.dr is None else self.dr
        return negative_log_sigmoid(self.beta * (pair.chosen_ratio - gap * pair.rejected_ratio))


class OmniDpo(AbstractObjective):
    """sg(wq wp) softplus(-beta D), wq = sigmoid(eta m), wp = sigmoid(tau_ref - beta_ln (mw - ml))^g.

    sg stops the gradient. Without the NLL term of the original; eta and g are from memory of the paper.
    """

    card: ClassVar[LossCard] = LossCard(
        id="omni_dpo",
        family="rewards",
        citation="Peng et al. 2025, arXiv 2506.10054",
        formula="sg(wq wp) softplus(-beta D), wq = sigmoid(eta m), wp = sigmoid(tau_ref - beta_ln (mw - ml))^g",
        member="w",
        no_member="it weighs each row by a factor that psi does not see",
        needs_reference=True,
        sees_rewards=True,
    )

    beta: Float[Array, ""] = setting(0.1, POSITIVE, around(0.1, "sum"))
    eta: Float[Array, ""] = setting(0.7, NON_NEGATIVE)
    g: Float[Array, ""] = setting(3.0, NON_NEGATIVE)
    beta_ln: Float[Array, ""] = setting(2.0, NON_NEGATIVE)
    tau_ref: Float[Array, ""] = setting(1.0, REAL)

    def __call__(self, pair: PairLogProbs, progress: Scalar) -> Float[Array, " row"]:
        """The loss of each row."""
        quality = jax.nn.sigmoid(self.eta * pair.margin)
        log_difficulty = -negative_log_sigmoid(self.tau_ref - self.beta_ln * mean_log_prob_margin(pair))
        weight = jax.lax.stop_gradient(quality * jnp.exp(self.g * log_difficulty))
        return weight * negative_log_sigmoid(self.beta * log_ratio_margin(pair))
