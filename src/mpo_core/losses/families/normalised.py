"""Functions of mean token log-probs."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from mpo_core.losses.entry import CatalogueEntry, TuningRange, around
from mpo_core.losses.moments import MovingMoments
from mpo_core.objective.interface import AbstractObjective, AbstractStatefulObjective, Scalar, coefficient
from mpo_core.objective.pair_log_probs import PairLogProbs
from mpo_core.objective.stable import logit_of_log_prob, negative_log_sigmoid, positive_part, tsallis_of_log_prob
from mpo_core.objective.terms import mean_log_prob_margin, mean_log_ratio_margin, optional_coefficient


class IpoMean(AbstractObjective):
    """(A - B - 1/(2 tau))^2 on mean log-ratios, tau 0.1. Azar et al. 2023, arXiv 2310.12036, as TRL and HALOs have it.

    With reference, length-normalised, a member of MPO whose psi is not monotone.
    """

    tau: Float[Array, ""] = eqx.field(converter=coefficient, default=0.1)

    def __call__(self, pair: PairLogProbs, progress: Scalar) -> Float[Array, " row"]:
        """(A - B - 1/(2 tau))^2."""
        return jnp.square(mean_log_ratio_margin(pair) - 0.5 / self.tau)


class SimPo(AbstractObjective):
    """softplus(-(beta (mw - ml) - gamma)), beta 2, gamma 1. Meng et al. 2024, arXiv 2405.14734.

    Reference-free, length-normalised, a member of MPO.
    """

    beta: Float[Array, ""] = eqx.field(converter=coefficient, default=2.0)
    gamma: Float[Array, ""] = eqx.field(converter=coefficient, default=1.0)

    def __call__(self, pair: PairLogProbs, progress: Scalar) -> Float[Array, " row"]:
        """softplus(-(beta (mw - ml) - gamma))."""
        return negative_log_sigmoid(self.beta * mean_log_prob_margin(pair) - self.gamma)


class Orpo(AbstractObjective):
    """-mw + lam softplus(-(logit(e^mw) - logit(e^ml))), lam 0.1. Hong et al. 2024, arXiv 2403.07691.

    Reference-free, length-normalised, a member of MPO. Inside the logit, log-probs are clamped at MAX_LOG_PROB.
    """

    lam: Float[Array, ""] = eqx.field(converter=coefficient, default=0.1)

    def __call__(self, pair: PairLogProbs, progress: Scalar) -> Float[Array, " row"]:
        """-mw + lam softplus(-log odds ratio)."""
        log_odds_ratio = logit_of_log_prob(pair.chosen_mean) - logit_of_log_prob(pair.rejected_mean)
        return -pair.chosen_mean + self.lam * negative_log_sigmoid(log_odds_ratio)


class DpoNorm(AbstractObjective):
    """softplus(-beta (A - B)); beta 5. Lambert et al. 2024 (Tulu 3), arXiv 2411.15124.

    TRL's default is beta 0.1. With reference, length-normalised, a member of MPO.
    """

    beta: Float[Array, ""] = eqx.field(converter=coefficient, default=5.0)

    def __call__(self, pair: PairLogProbs, progress: Scalar) -> Float[Array, " row"]:
        """The loss of each row."""
        return negative_log_sigmoid(self.beta * mean_log_ratio_margin(pair))


class AlphaPo(AbstractObjective):
    """softplus(-(beta (h(mw) - h(ml)) - gamma)), h(x) = (1 - e^(-alpha x)) / alpha.

    With alpha = 0 it is simpo. Gupta et al. 2025, arXiv 2501.03884. Defaults: beta 2.5, gamma 0.1, alpha 0.25.
    Reference-free, length-normalised, a member of MPO.
    """

    beta: Float[Array, ""] = eqx.field(converter=coefficient, default=2.5)
    gamma: Float[Array, ""] = eqx.field(converter=coefficient, default=0.1)
    alpha: Float[Array, ""] = eqx.field(converter=coefficient, default=0.25)

    def __call__(self, pair: PairLogProbs, progress: Scalar) -> Float[Array, " row"]:
        """The loss of each row."""
        chosen, rejected = (tsallis_of_log_prob(x, self.alpha) for x in (pair.chosen_mean, pair.rejected_mean))
        return negative_log_sigmoid(self.beta * (chosen - rejected) - self.gamma)


class RePo(AbstractObjective):
    """relu(gamma - (mw - ml)); gamma 0.5. Wu et al. 2025 (RePO).

    No gradient once the margin is met; the limit of simpo for large beta. Reference-free, length-normalised, a
    member of MPO.
    """

    gamma: Float[Array, ""] = eqx.field(converter=coefficient, default=0.5)

    def __call__(self, pair: PairLogProbs, progress: Scalar) -> Float[Array, " row"]:
        """The loss of each row."""
        return positive_part(self.gamma - mean_log_prob_margin(pair))


class AlphaDpo(AbstractStatefulObjective[MovingMoments]):
    """softplus(-beta (mw - ml - sg(gamma + alpha (A - B - center) / sd))).

    sg stops the gradient. center and sd are moving averages of the mean and deviation of A - B, this minibatch
    included; the settings center and sd are where they start. Wu et al. 2024, arXiv 2410.10148, as the official code
    has it (whose averages start at 0). Defaults: beta 2.5, gamma 0.6, alpha 0.2, center 0, sd 1, decay 0.9. With
    reference, length-normalised, no member of MPO: its target margin differs from row to row.
    """

    beta: Float[Array, ""] = eqx.field(converter=coefficient, default=2.5)
    gamma: Float[Array, ""] = eqx.field(converter=coefficient, default=0.6)
    alpha: Float[Array, ""] = eqx.field(converter=coefficient, default=0.2)
    center: Float[Array, ""] = eqx.field(converter=coefficient, default=0.0)
    sd: Float[Array, ""] = eqx.field(converter=coefficient, default=1.0)
    decay: Float[Array, ""] = eqx.field(converter=coefficient, default=0.9)

    @property
    def sees_groups(self) -> bool:
        """It does not."""
        return False

    def initial_state(self) -> MovingMoments:
        """The settings center and sd."""
        return MovingMoments(self.center, self.sd)

    def losses(self, pair: PairLogProbs, progress: Scalar, state: MovingMoments) -> Float[Array, " row"]:
        """The loss of each row, centred as the state says."""
        standardised = state.standardised(mean_log_ratio_margin(pair))
        target = jax.lax.stop_gradient(self.gamma + self.alpha * standardised)
        return negative_log_sigmoid(self.beta * (mean_log_prob_margin(pair) - target))

    def step(
        self, pair: PairLogProbs, progress: Scalar, state: MovingMoments, *, key: PRNGKeyArray
    ) -> tuple[Float[Array, " row"], MovingMoments]:
        """The loss of each row, and the averages that it used."""
        state = state.after(mean_log_ratio_margin(pair), self.decay)
        return self.losses(pair, progress, state), state


class ProPair(AbstractObjective):
    """softplus(-T (mw - ml)) - sft lw, T = margin; sft 0.05. Song et al. 2023, arXiv 2306.17492.

    The setting temperature fixes T; T = 1 is the form without rewards, which is a member of MPO. The imitation is
    a sum. Reference-free, length-normalised, a member of MPO up to a constant of the row.
    """

    temperature: Float[Array, ""] | None = eqx.field(converter=optional_coefficient, default=None)
    """T; None is the margin of the row."""
    sft: Float[Array, ""] = eqx.field(converter=coefficient, default=0.05)

    def __call__(self, pair: PairLogProbs, progress: Scalar) -> Float[Array, " row"]:
        """The loss of each row."""
        temperature = pair.margin if self.temperature is None else self.temperature
        return negative_log_sigmoid(temperature * mean_log_prob_margin(pair)) - self.sft * pair.chosen


ENTRIES = (
    CatalogueEntry(
        id="ipo_mean",
        factory=IpoMean,
        family="normalised",
        citation="Azar et al. 2023, arXiv 2310.12036",
        formula="(A - B - 1/(2 tau))^2",
        needs_reference=True,
        length_normalised=True,
        member="MR-bar",
        sft_epochs=10,
        tuning=(TuningRange("tau", 0.01, 1.0, "mean", log=True),),
    ),
    CatalogueEntry(
        id="simpo",
        factory=SimPo,
        family="normalised",
        citation="Meng et al. 2024, arXiv 2405.14734",
        formula="softplus(-(beta (mw - ml) - gamma))",
        needs_reference=False,
        length_normalised=True,
        member="M0-bar",
        sft_epochs=10,
        tuning=(
            TuningRange("beta", 2.0, 10.0, "mean", log=True),
            TuningRange("gamma", 0.3, 1.6),
        ),
    ),
    CatalogueEntry(
        id="orpo",
        factory=Orpo,
        family="normalised",
        citation="Hong et al. 2024, arXiv 2403.07691",
        formula="-mw + lam softplus(-(logit(e^mw) - logit(e^ml)))",
        needs_reference=False,
        length_normalised=True,
        member="M0-bar",
        tuning=(TuningRange("lam", 0.1, 2.0, log=True),),
    ),
    CatalogueEntry(
        id="dpo_norm",
        factory=DpoNorm,
        family="normalised",
        citation="Lambert et al. 2024 (Tulu 3), arXiv 2411.15124",
        formula="softplus(-beta (A - B))",
        needs_reference=True,
        length_normalised=True,
        member="MR-bar",
        tuning=(TuningRange("beta", 0.1, 5.0, "mean", log=True),),
    ),
    CatalogueEntry(
        id="alphapo",
        factory=AlphaPo,
        family="normalised",
        citation="Gupta et al. 2025, arXiv 2501.03884",
        formula="softplus(-(beta (h(mw) - h(ml)) - gamma)), h(x) = (1 - e^(-alpha x)) / alpha",
        needs_reference=False,
        length_normalised=True,
        member="M0-bar",
        tuning=(
            around("beta", 2.5, "mean"),
            around("gamma", 0.1),
            around("alpha", 0.25),
        ),
    ),
    CatalogueEntry(
        id="repo",
        factory=RePo,
        family="normalised",
        citation="Wu et al. 2025 (RePO)",
        formula="relu(gamma - (mw - ml))",
        needs_reference=False,
        length_normalised=True,
        member="M0-bar",
        tuning=(TuningRange("gamma", 0.4, 0.6),),
    ),
    CatalogueEntry(
        id="alpha_dpo",
        factory=AlphaDpo,
        family="normalised",
        citation="Wu et al. 2024, arXiv 2410.10148",
        formula="softplus(-beta (mw - ml - sg(gamma + alpha (A - B - center) / sd))), center, sd = EMA(A - B)",
        needs_reference=True,
        length_normalised=True,
        member="no",
        tuning=(
            around("beta", 2.5, "mean"),
            around("gamma", 0.6),
            around("alpha", 0.2),
        ),
    ),
    CatalogueEntry(
        id="pro_pair",
        factory=ProPair,
        family="normalised",
        citation="Song et al. 2023, arXiv 2306.17492",
        formula="softplus(-T (mw - ml)) - sft lw, T = margin",
        needs_reference=False,
        length_normalised=True,
        member="M0~row",
        sees_rewards=True,
        tuning=(around("sft", 0.05, "sum"),),
    ),
)
