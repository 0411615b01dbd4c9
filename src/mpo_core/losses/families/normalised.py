"""Functions of mean token log-probs."""

from typing import ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from mpo_core.losses.card import LossCard
from mpo_core.losses.moments import MovingMoments
from mpo_core.mirror.maps import Log, Logit, LogSigmoid, MinZero, NegativeSquare, Tsallis, Zero
from mpo_core.mirror.mirror_objective import MirrorObjective
from mpo_core.objective.domain import DIVISOR, NON_NEGATIVE, POSITIVE, REAL, SHARE
from mpo_core.objective.interface import AbstractObjective, AbstractStatefulObjective, Scalar
from mpo_core.objective.pair_log_probs import PairLogProbs
from mpo_core.objective.setting import SearchRange, around, setting
from mpo_core.objective.stable import logit_of_log_prob, negative_log_sigmoid, positive_part, tsallis_of_log_prob
from mpo_core.objective.terms import mean_log_prob_margin, mean_log_ratio_margin


class IpoMean(AbstractObjective):
    """(A - B - 1/(2 tau))^2 on mean log-ratios, as TRL and HALOs have it."""

    card: ClassVar[LossCard] = LossCard(
        id="ipo_mean",
        family="normalised",
        citation="Azar et al. 2023, arXiv 2310.12036",
        formula="(A - B - 1/(2 tau))^2",
        member="MR-bar",
        needs_reference=True,
        length_normalised=True,
        sft_epochs=10,
    )

    tau: Float[Array, ""] = setting(0.1, DIVISOR, SearchRange(0.01, 1.0, "mean", log=True))

    def __call__(self, pair: PairLogProbs, progress: Scalar) -> Float[Array, " row"]:
        """(A - B - 1/(2 tau))^2."""
        return jnp.square(mean_log_ratio_margin(pair) - 0.5 / self.tau)

    def mirror(self) -> MirrorObjective:
        """The same as a point of the mirror family."""
        return MirrorObjective(Log(), NegativeSquare(0.5 / self.tau), Zero(), "mean", "mean", True)


class SimPo(AbstractObjective):
    """softplus(-(beta (mw - ml) - gamma))."""

    card: ClassVar[LossCard] = LossCard(
        id="simpo",
        family="normalised",
        citation="Meng et al. 2024, arXiv 2405.14734",
        formula="softplus(-(beta (mw - ml) - gamma))",
        member="M0-bar",
        length_normalised=True,
        sft_epochs=10,
    )

    beta: Float[Array, ""] = setting(2.0, POSITIVE, SearchRange(0.6, 10.0, "mean", log=True))
    gamma: Float[Array, ""] = setting(1.0, REAL, SearchRange(0.3, 1.6))

    def __call__(self, pair: PairLogProbs, progress: Scalar) -> Float[Array, " row"]:
        """softplus(-(beta (mw - ml) - gamma))."""
        return negative_log_sigmoid(self.beta * mean_log_prob_margin(pair) - self.gamma)

    def mirror(self) -> MirrorObjective:
        """The same as a point of the mirror family."""
        psi = LogSigmoid(shift=self.gamma)
        return MirrorObjective(Log(self.beta), psi, Zero(), "mean", "mean", False)


class Orpo(AbstractObjective):
    """-mw + lam softplus(-(logit(e^mw) - logit(e^ml))).

    Inside the logit, log-probs are clamped at MAX_LOG_PROB.
    """

    card: ClassVar[LossCard] = LossCard(
        id="orpo",
        family="normalised",
        citation="Hong et al. 2024, arXiv 2403.07691",
        formula="-mw + lam softplus(-(logit(e^mw) - logit(e^ml)))",
        member="M0-bar",
        length_normalised=True,
    )

    lam: Float[Array, ""] = setting(0.1, NON_NEGATIVE, SearchRange(0.03, 2.0, log=True))

    def __call__(self, pair: PairLogProbs, progress: Scalar) -> Float[Array, " row"]:
        """-mw + lam softplus(-log odds ratio)."""
        log_odds_ratio = logit_of_log_prob(pair.chosen_mean) - logit_of_log_prob(pair.rejected_mean)
        return -pair.chosen_mean + self.lam * negative_log_sigmoid(log_odds_ratio)

    def mirror(self) -> MirrorObjective:
        """The same as a point of the mirror family."""
        return MirrorObjective(Logit(), LogSigmoid(self.lam), Log(), "mean", "mean", False)


class DpoNorm(AbstractObjective):
    """softplus(-beta (A - B)).

    TRL's default is beta 0.1.
    """

    card: ClassVar[LossCard] = LossCard(
        id="dpo_norm",
        family="normalised",
        citation="Lambert et al. 2024 (Tulu 3), arXiv 2411.15124",
        formula="softplus(-beta (A - B))",
        member="MR-bar",
        needs_reference=True,
        length_normalised=True,
    )

    beta: Float[Array, ""] = setting(5.0, POSITIVE, SearchRange(0.1, 15.0, "mean", log=True))

    def __call__(self, pair: PairLogProbs, progress: Scalar) -> Float[Array, " row"]:
        """The loss of each row."""
        return negative_log_sigmoid(self.beta * mean_log_ratio_margin(pair))

    def mirror(self) -> MirrorObjective:
        """The same as a point of the mirror family."""
        return MirrorObjective(Log(self.beta), LogSigmoid(), Zero(), "mean", "mean", True)


class AlphaPo(AbstractObjective):
    """softplus(-(beta (h(mw) - h(ml)) - gamma)), h(x) = (1 - e^(-alpha x)) / alpha.

    With alpha = 0 it is simpo.
    """

    card: ClassVar[LossCard] = LossCard(
        id="alphapo",
        family="normalised",
        citation="Gupta et al. 2025, arXiv 2501.03884",
        formula="softplus(-(beta (h(mw) - h(ml)) - gamma)), h(x) = (1 - e^(-alpha x)) / alpha",
        member="M0-bar",
        length_normalised=True,
    )

    beta: Float[Array, ""] = setting(2.5, POSITIVE, around(2.5, "mean"))
    gamma: Float[Array, ""] = setting(0.1, REAL, around(0.1))
    alpha: Float[Array, ""] = setting(0.25, REAL, around(0.25))

    def __call__(self, pair: PairLogProbs, progress: Scalar) -> Float[Array, " row"]:
        """The loss of each row."""
        chosen, rejected = (tsallis_of_log_prob(x, self.alpha) for x in (pair.chosen_mean, pair.rejected_mean))
        return negative_log_sigmoid(self.beta * (chosen - rejected) - self.gamma)

    def mirror(self) -> MirrorObjective:
        """The same as a point of the mirror family."""
        phi_inv = Tsallis(self.alpha, self.beta)
        return MirrorObjective(phi_inv, LogSigmoid(shift=self.gamma), Zero(), "mean", "mean", False)


class RePo(AbstractObjective):
    """relu(gamma - (mw - ml)).

    No gradient once the margin is met; the limit of simpo for large beta.
    """

    card: ClassVar[LossCard] = LossCard(
        id="repo",
        family="normalised",
        citation="Wu et al. 2025 (RePO)",
        formula="relu(gamma - (mw - ml))",
        member="M0-bar",
        length_normalised=True,
    )

    gamma: Float[Array, ""] = setting(0.5, REAL, SearchRange(0.4, 0.6))

    def __call__(self, pair: PairLogProbs, progress: Scalar) -> Float[Array, " row"]:
        """The loss of each row."""
        return positive_part(self.gamma - mean_log_prob_margin(pair))

    def mirror(self) -> MirrorObjective:
        """The same as a point of the mirror family."""
        return MirrorObjective(Log(), MinZero(self.gamma), Zero(), "mean", "mean", False)


class AlphaDpo(AbstractStatefulObjective[MovingMoments]):
    """softplus(-beta (mw - ml - sg(gamma + alpha (A - B - center) / sd))).

    sg stops the gradient. center and sd are moving averages of the mean and deviation of A - B, this minibatch
    included; the settings center and sd are where they start. As the official code has it, whose averages start at 0.
    """

    card: ClassVar[LossCard] = LossCard(
        id="alpha_dpo",
        family="normalised",
        citation="Wu et al. 2024, arXiv 2410.10148",
        formula="softplus(-beta (mw - ml - sg(gamma + alpha (A - B - center) / sd))), center = EMA(mean(A - B)), "
        "sd = EMA(std(A - B))",
        member="no",
        no_member="its target margin differs from row to row",
        needs_reference=True,
        length_normalised=True,
    )

    beta: Float[Array, ""] = setting(2.5, POSITIVE, around(2.5, "mean"))
    gamma: Float[Array, ""] = setting(0.6, REAL, around(0.6))
    alpha: Float[Array, ""] = setting(0.2, NON_NEGATIVE, around(0.2))
    center: Float[Array, ""] = setting(0.0, REAL)
    sd: Float[Array, ""] = setting(1.0, NON_NEGATIVE)
    decay: Float[Array, ""] = setting(0.9, SHARE)

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
    """softplus(-T (mw - ml)) - sft lw, T = m.

    The setting temperature fixes T; T = 1 is the form without rewards, which is a member of MPO. The imitation is a
    sum.
    """

    card: ClassVar[LossCard] = LossCard(
        id="pro_pair",
        family="normalised",
        citation="Song et al. 2023, arXiv 2306.17492",
        formula="softplus(-T (mw - ml)) - sft lw, T = temperature or m",
        member="M0-bar~row",
        no_member="its scale differs from row to row (the margin)",
        length_normalised=True,
        sees_rewards=True,
    )

    temperature: Float[Array, ""] | None = setting(None, POSITIVE)
    """T; None is the margin of the row."""
    sft: Float[Array, ""] = setting(0.05, NON_NEGATIVE, around(0.05, "sum"))

    def __call__(self, pair: PairLogProbs, progress: Scalar) -> Float[Array, " row"]:
        """The loss of each row."""
        temperature = pair.margin if self.temperature is None else self.temperature
        return negative_log_sigmoid(temperature * mean_log_prob_margin(pair)) - self.sft * pair.chosen
