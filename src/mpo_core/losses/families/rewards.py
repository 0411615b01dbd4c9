"""Losses that read the reward margin m of a row."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from mpo_core.losses.entry import CatalogueEntry, TuningRange, around
from mpo_core.objective.interface import AbstractObjective, Scalar, coefficient
from mpo_core.objective.pair_log_probs import PairLogProbs
from mpo_core.objective.stable import bounded_exp, negative_log_sigmoid
from mpo_core.objective.terms import log_ratio_margin, mean_log_prob_margin, optional_coefficient


def _bernoulli_kl(u: Float[Array, " row"], v: Float[Array, " row"]) -> Float[Array, " row"]:
    """KL(Bernoulli(sigmoid(u)) || Bernoulli(sigmoid(v)))."""
    chosen = jax.nn.sigmoid(u) * (negative_log_sigmoid(v) - negative_log_sigmoid(u))
    return chosen + jax.nn.sigmoid(-u) * (negative_log_sigmoid(-v) - negative_log_sigmoid(-u))


class MaDpo(AbstractObjective):
    """w softplus(-beta D), w = sigmoid(c m) / sigmoid(m) if m > -tau else 1.

    c(m) falls from cmax to cmin: c = cmin + (cmax - cmin) / (1 + (cmax - 1) / (1 - cmin) e^(k (|m| - tau))).
    Margin-adaptive DPO 2025 (official code). Defaults: beta 0.1, cmin 0.5, cmax 2, k 1, tau 2. With reference,
    not length-normalised, a member of MPO up to a weight of the row.
    """

    beta: Float[Array, ""] = eqx.field(converter=coefficient, default=0.1)
    cmin: Float[Array, ""] = eqx.field(converter=coefficient, default=0.5)
    cmax: Float[Array, ""] = eqx.field(converter=coefficient, default=2.0)
    k: Float[Array, ""] = eqx.field(converter=coefficient, default=1.0)
    tau: Float[Array, ""] = eqx.field(converter=coefficient, default=2.0)

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

    With m = 0 it pulls D to 0. Kim et al. 2024 (Margin Matching). Defaults: beta 0.01, bt 1. With reference, not
    length-normalised, a member of MPO up to a constant of the row.
    """

    beta: Float[Array, ""] = eqx.field(converter=coefficient, default=0.01)
    bt: Float[Array, ""] = eqx.field(converter=coefficient, default=1.0)

    def __call__(self, pair: PairLogProbs, progress: Scalar) -> Float[Array, " row"]:
        """The loss of each row."""
        u, label = self.beta * log_ratio_margin(pair), jax.nn.sigmoid(self.bt * pair.margin)
        return label * negative_log_sigmoid(u) + (1 - label) * negative_log_sigmoid(-u)


class RpoBackwardKl(AbstractObjective):
    """KL(Bernoulli(sigmoid(v)) || Bernoulli(sigmoid(u))), u = beta D, v = eta m.

    Least at D = eta m / beta. Sun et al. 2025 (Reward-aware Preference Optimization). Defaults: beta 0.2, eta 1.
    With reference, not length-normalised, a member of MPO up to a constant of the row.
    """

    beta: Float[Array, ""] = eqx.field(converter=coefficient, default=0.2)
    eta: Float[Array, ""] = eqx.field(converter=coefficient, default=1.0)

    def __call__(self, pair: PairLogProbs, progress: Scalar) -> Float[Array, " row"]:
        """The loss of each row."""
        u, v = self.beta * log_ratio_margin(pair), self.eta * pair.margin
        return _bernoulli_kl(v, u)


class RpoForwardKl(AbstractObjective):
    """KL(Bernoulli(sigmoid(u)) || Bernoulli(sigmoid(v))), u = beta D, v = eta m.

    Least at D = eta m / beta. Sun et al. 2025 (Reward-aware Preference Optimization). Defaults: beta 0.2, eta 1.
    With reference, not length-normalised, a member of MPO up to a constant of the row.
    """

    beta: Float[Array, ""] = eqx.field(converter=coefficient, default=0.2)
    eta: Float[Array, ""] = eqx.field(converter=coefficient, default=1.0)

    def __call__(self, pair: PairLogProbs, progress: Scalar) -> Float[Array, " row"]:
        """The loss of each row."""
        u, v = self.beta * log_ratio_margin(pair), self.eta * pair.margin
        return _bernoulli_kl(u, v)


class RpoSquare(AbstractObjective):
    """(u - v)^2, u = beta D, v = eta m; beta 0.2, eta 1. Sun et al. 2025 (Reward-aware Preference Optimization).

    Least at D = eta m / beta. With reference, not length-normalised, a member of MPO up to a constant of the row.
    """

    beta: Float[Array, ""] = eqx.field(converter=coefficient, default=0.2)
    eta: Float[Array, ""] = eqx.field(converter=coefficient, default=1.0)

    def __call__(self, pair: PairLogProbs, progress: Scalar) -> Float[Array, " row"]:
        """The loss of each row."""
        u, v = self.beta * log_ratio_margin(pair), self.eta * pair.margin
        return jnp.square(u - v)


class MoDpo(AbstractObjective):
    """softplus(-(beta D - (1 - w0) m) / w0); beta 0.1, w0 0.5. Zhou et al. 2023, arXiv 2310.03708.

    m is meant as the margin of the other objectives' reward; here it is the margin there is. With reference, not
    length-normalised, a member of MPO up to a constant of the row.
    """

    beta: Float[Array, ""] = eqx.field(converter=coefficient, default=0.1)
    w0: Float[Array, ""] = eqx.field(converter=coefficient, default=0.5)

    def __call__(self, pair: PairLogProbs, progress: Scalar) -> Float[Array, " row"]:
        """The loss of each row."""
        u = self.beta * log_ratio_margin(pair) - (1 - self.w0) * pair.margin
        return negative_log_sigmoid(u / self.w0)


class MaPo(AbstractObjective):
    """softplus(-beta (a - dr b)), dr = clip(m, 0, 1); beta 0.1. Lan et al. 2025, arXiv 2507.21183.

    The setting dr fixes the reward gap: 1 is dpo, 0 pushes nothing down. With reference, not length-normalised,
    no member of MPO: it weighs chosen and rejected unequally.
    """

    beta: Float[Array, ""] = eqx.field(converter=coefficient, default=0.1)
    dr: Float[Array, ""] | None = eqx.field(converter=optional_coefficient, default=None)
    """Reward gap in [0, 1]; None takes it from the margin of the row."""

    def __call__(self, pair: PairLogProbs, progress: Scalar) -> Float[Array, " row"]:
        """The loss of each row."""
        gap = jnp.clip(pair.margin, 0.0, 1.0) if self.dr is None else self.dr
        return negative_log_sigmoid(self.beta * (pair.chosen_ratio - gap * pair.rejected_ratio))


class OmniDpo(AbstractObjective):
    """sg(wq wp) softplus(-beta D), wq = sigmoid(eta m), wp = sigmoid(tau_ref - beta_ln (mw - ml))^g.

    sg stops the gradient. Without the NLL term of the original; eta and g are from memory of the paper. Peng et
    al. 2025, arXiv 2506.10054. Defaults: beta 0.1, eta 0.7, g 3, beta_ln 2, tau_ref 1. With reference, not
    length-normalised, a member of MPO up to a weight of the row.
    """

    beta: Float[Array, ""] = eqx.field(converter=coefficient, default=0.1)
    eta: Float[Array, ""] = eqx.field(converter=coefficient, default=0.7)
    g: Float[Array, ""] = eqx.field(converter=coefficient, default=3.0)
    beta_ln: Float[Array, ""] = eqx.field(converter=coefficient, default=2.0)
    tau_ref: Float[Array, ""] = eqx.field(converter=coefficient, default=1.0)

    def __call__(self, pair: PairLogProbs, progress: Scalar) -> Float[Array, " row"]:
        """The loss of each row."""
        quality = jax.nn.sigmoid(self.eta * pair.margin)
        log_difficulty = -negative_log_sigmoid(self.tau_ref - self.beta_ln * mean_log_prob_margin(pair))
        weight = jax.lax.stop_gradient(quality * jnp.exp(self.g * log_difficulty))
        return weight * negative_log_sigmoid(self.beta * log_ratio_margin(pair))


ENTRIES = (
    CatalogueEntry(
        id="madpo",
        factory=MaDpo,
        family="rewards",
        citation="Margin-adaptive DPO 2025 (official code)",
        formula="w softplus(-beta D), w = sigmoid(c m) / sigmoid(m) if m > -tau else 1",
        needs_reference=True,
        length_normalised=False,
        member="w",
        sees_rewards=True,
        tuning=(around("beta", 0.1, "sum"),),
    ),
    CatalogueEntry(
        id="mmpo",
        factory=Mmpo,
        family="rewards",
        citation="Kim et al. 2024 (Margin Matching)",
        formula="p softplus(-u) + (1 - p) softplus(u), p = sigmoid(bt m), u = beta D",
        needs_reference=True,
        length_normalised=False,
        member="MR~row",
        sees_rewards=True,
        tuning=(
            around("beta", 0.01, "sum"),
            TuningRange("bt", 0.3, 2.2, log=True),
        ),
    ),
    CatalogueEntry(
        id="rpo_bwd_kl",
        factory=RpoBackwardKl,
        family="rewards",
        citation="Sun et al. 2025 (Reward-aware Preference Optimization)",
        formula="KL(Bernoulli(sigmoid(v)) || Bernoulli(sigmoid(u))), u = beta D, v = eta m",
        needs_reference=True,
        length_normalised=False,
        member="MR~row",
        sees_rewards=True,
        tuning=(
            around("beta", 0.2, "sum"),
            around("eta", 1.0),
        ),
    ),
    CatalogueEntry(
        id="rpo_fwd_kl",
        factory=RpoForwardKl,
        family="rewards",
        citation="Sun et al. 2025 (Reward-aware Preference Optimization)",
        formula="KL(Bernoulli(sigmoid(u)) || Bernoulli(sigmoid(v))), u = beta D, v = eta m",
        needs_reference=True,
        length_normalised=False,
        member="MR~row",
        sees_rewards=True,
        tuning=(
            around("beta", 0.2, "sum"),
            around("eta", 1.0),
        ),
    ),
    CatalogueEntry(
        id="rpo_sq",
        factory=RpoSquare,
        family="rewards",
        citation="Sun et al. 2025 (Reward-aware Preference Optimization)",
        formula="(u - v)^2, u = beta D, v = eta m",
        needs_reference=True,
        length_normalised=False,
        member="MR~row",
        sees_rewards=True,
        tuning=(
            around("beta", 0.2, "sum"),
            around("eta", 1.0),
        ),
    ),
    CatalogueEntry(
        id="modpo",
        factory=MoDpo,
        family="rewards",
        citation="Zhou et al. 2023, arXiv 2310.03708",
        formula="softplus(-(beta D - (1 - w0) m) / w0)",
        needs_reference=True,
        length_normalised=False,
        member="MR~row",
        sees_rewards=True,
        tuning=(around("beta", 0.1, "sum"),),
    ),
    CatalogueEntry(
        id="mappo",
        factory=MaPo,
        family="rewards",
        citation="Lan et al. 2025, arXiv 2507.21183",
        formula="softplus(-beta (a - dr b)), dr = clip(m, 0, 1)",
        needs_reference=True,
        length_normalised=False,
        member="no",
        sees_rewards=True,
        tuning=(around("beta", 0.1, "sum"),),
    ),
    CatalogueEntry(
        id="omni_dpo",
        factory=OmniDpo,
        family="rewards",
        citation="Peng et al. 2025, arXiv 2506.10054",
        formula="sg(wq wp) softplus(-beta D), wq = sigmoid(eta m), wp = sigmoid(tau_ref - beta_ln (mw - ml))^g",
        needs_reference=True,
        length_normalised=False,
        member="w",
        sees_rewards=True,
        tuning=(around("beta", 0.1, "sum"),),
    ),
)
