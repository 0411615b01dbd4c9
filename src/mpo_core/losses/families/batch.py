"""Losses in which the rows of a minibatch meet."""

from typing import ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from mpo_core.losses.card import LossCard
from mpo_core.losses.groups import GroupWeights
from mpo_core.losses.moments import MovingMoments
from mpo_core.objective.domain import NON_NEGATIVE, POSITIVE, REAL, SHARE, Domain
from mpo_core.objective.interface import AbstractObjective, AbstractStatefulObjective, Scalar
from mpo_core.objective.pair_log_probs import PairLogProbs
from mpo_core.objective.setting import around, setting
from mpo_core.objective.stable import negative_log_sigmoid
from mpo_core.objective.terms import log_prob_margin, log_ratio_margin


def _sorted_difference(mine: Float[Array, " row"], theirs: Float[Array, " row"]) -> Float[Array, " row"]:
    """What remains of each value once the value of the same rank is taken away."""
    rank = jnp.argsort(jnp.argsort(mine))
    return mine - jnp.sort(theirs)[rank]


def _all_pairs(beta: Float[Array, ""], pair: PairLogProbs) -> Float[Array, "row row"]:
    """softplus(-beta (a_i - b_j))."""
    return negative_log_sigmoid(beta * (pair.chosen_ratio[:, None] - pair.rejected_ratio[None, :]))


def _drawn(log_weight: Float[Array, " row"], count: Float[Array, ""], key: PRNGKeyArray) -> Float[Array, " row"]:
    """1 for `count` rows drawn without replacement, the odds of a draw being e^log_weight, 0 for the others."""
    score = log_weight + jax.random.gumbel(key, log_weight.shape, log_weight.dtype)
    return (jnp.argsort(jnp.argsort(-score)) < count).astype(log_weight.dtype)


class BetaDpo(AbstractStatefulObjective[MovingMoments]):
    """softplus(-sg(max(0.001, beta (1 + a (mean D - m0)))) D), the mean over the rows that are kept.

    sg stops the gradient. m0 and sd are moving averages of the mean and deviation of D, this minibatch included; the
    settings m0 and sd are where they start. A share `keep` of the rows, rounded and at least one, is drawn without
    replacement with odds exp(-((D - m0) / sd)^2 / 2); the others are dropped from loss and mean. With minibatches of
    two rows the default share keeps both. As the official code has it, whose averages start at 0, and which rounds
    down.
    """

    card: ClassVar[LossCard] = LossCard(
        id="beta_dpo",
        family="batch",
        citation="Wu et al. 2024, arXiv 2407.08639",
        formula="softplus(-sg(max(0.001, beta (1 + a (mean D - m0)))) D), m0 = EMA(mean D); over the rows that "
        "are kept",
        member="no",
        no_member="the loss of a row depends on the other rows of the batch",
        needs_reference=True,
    )

    beta: Float[Array, ""] = setting(0.1, POSITIVE, around(0.1, "sum"))
    a: Float[Array, ""] = setting(0.6, NON_NEGATIVE)
    m0: Float[Array, ""] = setting(0.0, REAL)
    sd: Float[Array, ""] = setting(1.0, NON_NEGATIVE)
    keep: Float[Array, ""] = setting(0.8, Domain(0.0, 1.0, low_open=True))
    decay: Float[Array, ""] = setting(0.9, SHARE)

    @property
    def sees_groups(self) -> bool:
        """It does not."""
        return False

    def initial_state(self) -> MovingMoments:
        """The settings m0 and sd."""
        return MovingMoments(self.m0, self.sd)

    def losses(self, pair: PairLogProbs, progress: Scalar, state: MovingMoments) -> Float[Array, " row"]:
        """The loss of each row, all of them kept."""
        return self._weighted(pair, jnp.ones_like(pair.chosen), state)

    def step(
        self, pair: PairLogProbs, progress: Scalar, state: MovingMoments, *, key: PRNGKeyArray
    ) -> tuple[Float[Array, " row"], MovingMoments]:
        """The loss of each row, 0 where it is dropped, and the averages that it used."""
        margin = jax.lax.stop_gradient(log_ratio_margin(pair))
        state = state.after(margin, self.decay)
        kept = _drawn(-0.5 * jnp.square(state.standardised(margin)), self._count(margin.shape[0]), key)
        return self._weighted(pair, kept / kept.mean(), state), state

    def _count(self, rows: int) -> Float[Array, ""]:
        return jnp.clip(jnp.round(self.keep * rows), 1, rows)

    def _weighted(self, pair: PairLogProbs, weight: Float[Array, " row"], state: MovingMoments) -> Float[Array, " row"]:
        """Weights have mean 1."""
        margin = log_ratio_margin(pair)
        excess = (weight * margin).mean() - state.mean
        beta = jnp.maximum(self.beta * (1 + self.a * excess), 1e-3)
        return weight * negative_log_sigmoid(jax.lax.stop_gradient(beta) * margin)


class Aot(AbstractObjective):
    """softplus(-beta (P - ranked(R, P))), R = rw - rl.

    A row meets the R of its own rank; one row alone is dpo.
    """

    card: ClassVar[LossCard] = LossCard(
        id="aot",
        family="batch",
        citation="Melnyk et al. 2024, arXiv 2406.05882",
        formula="softplus(-beta (P - ranked(R, P))), R = rw - rl",
        member="no",
        no_member="the loss of a row depends on the other rows of the batch",
        needs_reference=True,
    )

    beta: Float[Array, ""] = setting(0.01, POSITIVE, around(0.01, "sum"))

    def __call__(self, pair: PairLogProbs, progress: Scalar) -> Float[Array, " row"]:
        """The loss of each row."""
        return negative_log_sigmoid(
            self.beta * _sorted_difference(log_prob_margin(pair), pair.ref_chosen - pair.ref_rejected)
        )


class AotUnpaired(AbstractObjective):
    """softplus(-beta (a - ranked(b, a))).

    A row meets the b of its own rank among a; one row alone is dpo.
    """

    card: ClassVar[LossCard] = LossCard(
        id="aot_unpaired",
        family="batch",
        citation="Melnyk et al. 2024, arXiv 2406.05882",
        formula="softplus(-beta (a - ranked(b, a)))",
        member="no",
        no_member="the loss of a row depends on the other rows of the batch",
        needs_reference=True,
    )

    beta: Float[Array, ""] = setting(0.01, POSITIVE, around(0.01, "sum"))

    def __call__(self, pair: PairLogProbs, progress: Scalar) -> Float[Array, " row"]:
        """The loss of each row."""
        return negative_log_sigmoid(self.beta * _sorted_difference(pair.chosen_ratio, pair.rejected_ratio))


class RelativePo(AbstractObjective):
    """mean over j of softplus(-beta (a - b_j)).

    Each chosen meets every rejected of the minibatch with equal weight, all starts being alike.
    """

    card: ClassVar[LossCard] = LossCard(
        id="relative_po",
        family="batch",
        citation="Yin et al. 2024 (Relative Preference Optimization)",
        formula="mean over j of softplus(-beta (a - b_j))",
        member="no",
        no_member="the loss of a row depends on the other rows of the batch",
        needs_reference=True,
    )

    beta: Float[Array, ""] = setting(0.1, POSITIVE, around(0.1, "sum"))

    def __call__(self, pair: PairLogProbs, progress: Scalar) -> Float[Array, " row"]:
        """The loss of each row."""
        return _all_pairs(self.beta, pair).mean(axis=1)


class RpoDiagonal(AbstractObjective):
    """c softplus(-beta D) + (1 - c) mean over j != i of softplus(-beta (a - b_j)).

    One row alone is dpo.
    """

    card: ClassVar[LossCard] = LossCard(
        id="rpo_diagonal",
        family="batch",
        citation="Yin et al. 2024 (Relative Preference Optimization)",
        formula="c softplus(-beta D) + (1 - c) mean over j != i of softplus(-beta (a - b_j))",
        member="no",
        no_member="the loss of a row depends on the other rows of the batch",
        needs_reference=True,
    )

    beta: Float[Array, ""] = setting(0.1, POSITIVE, around(0.1, "sum"))
    c: Float[Array, ""] = setting(0.8, SHARE)

    def __call__(self, pair: PairLogProbs, progress: Scalar) -> Float[Array, " row"]:
        """The loss of each row."""
        losses = _all_pairs(self.beta, pair)
        own, others = negative_log_sigmoid(self.beta * log_ratio_margin(pair)), losses.shape[0] - 1
        if not others:
            return own
        return self.c * own + (1 - self.c) * (losses.sum(axis=1) - own) / others


class GroupRobust(AbstractStatefulObjective[GroupWeights]):
    """q_g softplus(-beta D) / share_g; a group's weight grows with its mean loss.

    q_g <- q_g exp(step_size L_g), normalised over the groups; share_g is the share of the rows that are of the group.
    So the mean over rows is sum_g q_g L_g, L_g the mean dpo of the group's rows of this minibatch, which has moved q
    already. The groups are the kinds of a pair (both trajectories from the original agent, one, none): privileged
    information. Only groups that have shown up share in q; rows without groups are all of one, and the loss is dpo. As
    the official code has it.
    """

    card: ClassVar[LossCard] = LossCard(
        id="group_robust",
        family="batch",
        citation="Ramesh et al. 2024, arXiv 2405.20304",
        formula="q_g softplus(-beta D) / share_g; a group's weight grows with its mean loss",
        member="w",
        no_member="it weighs each row by a factor that psi does not see",
        needs_reference=True,
        sees_groups=True,
    )

    beta: Float[Array, ""] = setting(0.1, POSITIVE, around(0.1, "sum"))
    step_size: Float[Array, ""] = setting(0.01, NON_NEGATIVE, around(0.01))

    @property
    def sees_groups(self) -> bool:
        """It does."""
        return True

    def initial_state(self) -> GroupWeights:
        """All groups alike."""
        return GroupWeights.equal()

    def losses(self, pair: PairLogProbs, progress: Scalar, state: GroupWeights) -> Float[Array, " row"]:
        """The loss of each row, its group weighed as the state says."""
        loss = negative_log_sigmoid(self.beta * log_ratio_margin(pair))
        return loss if pair.group is None else loss * state.row_weights(pair.group)

    def step(
        self, pair: PairLogProbs, progress: Scalar, state: GroupWeights, *, key: PRNGKeyArray
    ) -> tuple[Float[Array, " row"], GroupWeights]:
        """The loss of each row, and the weights that it used."""
        if pair.group is not None:
            loss = negative_log_sigmoid(self.beta * log_ratio_margin(pair))
            state = state.after(loss, pair.group, self.step_size)
        return self.losses(pair, progress, state), state
