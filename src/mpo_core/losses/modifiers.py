"""Objectives made of other objectives: label noise, weights, regularisers, other references, schedules, sums."""

from abc import abstractmethod

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.scipy.special import logsumexp
from jaxtyping import Array, Float

from mpo_core.objective.interface import AbstractObjective, Scalar, coefficient
from mpo_core.objective.pair_log_probs import PairLogProbs
from mpo_core.objective.stable import bounded_exp, ramp
from mpo_core.objective.terms import Reduction, chosen_nll


def swapped(pair: PairLogProbs) -> PairLogProbs:
    """The pair as a judge with the opposite verdict would have it."""
    return PairLogProbs(
        chosen=pair.rejected,
        rejected=pair.chosen,
        ref_chosen=pair.ref_rejected,
        ref_rejected=pair.ref_chosen,
        chosen_length=pair.rejected_length,
        rejected_length=pair.chosen_length,
        margin=-pair.margin,
    )


def per_token(pair: PairLogProbs) -> PairLogProbs:
    """The pair with mean token log-probs in the place of sums, and all lengths 1."""
    return PairLogProbs(
        chosen=pair.chosen_mean,
        rejected=pair.rejected_mean,
        ref_chosen=pair.ref_chosen / pair.chosen_length,
        ref_rejected=pair.ref_rejected / pair.rejected_length,
        chosen_length=jnp.ones_like(pair.chosen_length),
        rejected_length=jnp.ones_like(pair.rejected_length),
        margin=pair.margin,
    )


def with_reference(
    pair: PairLogProbs, ref_chosen: Float[Array, " row"], ref_rejected: Float[Array, " row"]
) -> PairLogProbs:
    """The pair with other log-probs under the reference."""
    return eqx.tree_at(lambda p: (p.ref_chosen, p.ref_rejected), pair, (ref_chosen, ref_rejected))


def joint_reference(
    ref_log_probs: Float[Array, "reference row"], weights: Float[Array, " reference"]
) -> Float[Array, " row"]:
    """Log-prob under several references at once: their weighted harmonic mean (MRPO)."""
    return -logsumexp(jnp.log(weights)[:, None] - ref_log_probs, axis=0)


def extrapolated_reference(
    newer: Float[Array, " row"], older: Float[Array, " row"], alpha: Scalar
) -> Float[Array, " row"]:
    """Log-prob under a reference moved on by alpha of its last step, not normalised (accelerated PO)."""
    return newer + alpha * (newer - older)


class LabelNoise(AbstractObjective):
    """(1 - e) f(pair) + e f(swapped pair), e = epsilon; debiased: ((1 - e) f(pair) - e f(swapped)) / (1 - 2 e).

    The first is the loss expected if a share epsilon of labels is wrong (cdpo is that of dpo), the second undoes such
    noise in expectation (robust_dpo is that of dpo; epsilon < 1/2).
    """

    inner: AbstractObjective
    epsilon: Float[Array, ""] = eqx.field(converter=coefficient, default=0.1)
    debiased: bool = eqx.field(static=True, default=False)

    def __call__(self, pair: PairLogProbs, progress: Scalar) -> Float[Array, " row"]:
        """The loss of each row."""
        right, wrong = self.inner(pair, progress), self.inner(swapped(pair), progress)
        if self.debiased:
            return ((1 - self.epsilon) * right - self.epsilon * wrong) / (1 - 2 * self.epsilon)
        return (1 - self.epsilon) * right + self.epsilon * wrong


class AbstractRowWeight(eqx.Module):
    """A factor for each row. Sub-classes are final."""

    @abstractmethod
    def __call__(self, pair: PairLogProbs, progress: Scalar) -> Float[Array, " row"]:
        """The factor of each row."""


class PairProbability(AbstractRowWeight):
    """min(largest, e^(mw + ml)): how much the data look like the policy's own. WPO, Zhou et al. 2024, arXiv 2406.11827.

    The unaligned form; the aligned one needs the log-probs of single tokens.
    """

    largest: Float[Array, ""] = eqx.field(converter=coefficient, default=1.0)

    def __call__(self, pair: PairLogProbs, progress: Scalar) -> Float[Array, " row"]:
        """The factor of each row."""
        return jnp.minimum(bounded_exp(pair.chosen_mean + pair.rejected_mean), self.largest)


class MarginConfidence(AbstractRowWeight):
    """sigmoid(scale m): how sure the judge is, m the reward margin."""

    scale: Float[Array, ""] = eqx.field(converter=coefficient, default=1.0)

    def __call__(self, pair: PairLogProbs, progress: Scalar) -> Float[Array, " row"]:
        """The factor of each row."""
        return jax.nn.sigmoid(self.scale * pair.margin)


class Weighted(AbstractObjective):
    """Another objective times a weight of the row, through which no gradient flows."""

    inner: AbstractObjective
    weight: AbstractRowWeight

    def __call__(self, pair: PairLogProbs, progress: Scalar) -> Float[Array, " row"]:
        """The loss of each row."""
        return jax.lax.stop_gradient(self.weight(pair, progress)) * self.inner(pair, progress)


class WeightedSum(AbstractObjective):
    """sum_k weight_k f_k."""

    terms: tuple[AbstractObjective, ...]
    weights: Float[Array, " term"] = eqx.field(converter=coefficient)

    def __check_init__(self):
        if self.weights.shape != (len(self.terms),):
            raise ValueError(f"a sum of {len(self.terms)} objectives takes as many weights, not {self.weights.shape}")

    def __call__(self, pair: PairLogProbs, progress: Scalar) -> Float[Array, " row"]:
        """The loss of each row."""
        losses = jnp.stack([term(pair, progress) for term in self.terms])
        return jnp.tensordot(self.weights, losses, axes=1)


class WithImitation(AbstractObjective):
    """Another objective with lam times the negative log-likelihood of the chosen, its sum or its token mean."""

    inner: AbstractObjective
    lam: Float[Array, ""] = eqx.field(converter=coefficient, default=1.0)
    nll: Reduction = eqx.field(static=True, default="mean")

    def __call__(self, pair: PairLogProbs, progress: Scalar) -> Float[Array, " row"]:
        """The loss of each row."""
        return self.inner(pair, progress) + self.lam * chosen_nll(pair, self.nll)


class WithReferenceKl(AbstractObjective):
    """Another objective with kl (rw - lw + rl - ll) / 2, an estimate of KL(reference || policy).

    Unbiased only where the trajectories come from the reference, and unbounded below.
    """

    inner: AbstractObjective
    kl: Float[Array, ""] = eqx.field(converter=coefficient, default=0.5)

    def __call__(self, pair: PairLogProbs, progress: Scalar) -> Float[Array, " row"]:
        """The loss of each row."""
        return self.inner(pair, progress) - self.kl * (pair.chosen_ratio + pair.rejected_ratio) / 2


class PerToken(AbstractObjective):
    """Another objective on mean token log-probs (dpo_norm is that of dpo)."""

    inner: AbstractObjective

    def __call__(self, pair: PairLogProbs, progress: Scalar) -> Float[Array, " row"]:
        """The loss of each row."""
        return self.inner(per_token(pair), progress)


class WithoutReference(AbstractObjective):
    """Another objective with log-ratios replaced by log-probs: a reference that is the same for everything."""

    inner: AbstractObjective

    def __call__(self, pair: PairLogProbs, progress: Scalar) -> Float[Array, " row"]:
        """The loss of each row."""
        nothing = jnp.zeros_like(pair.chosen)
        return self.inner(with_reference(pair, nothing, nothing), progress)


class Interpolation(AbstractObjective):
    """(1 - r(t)) before + r(t) after, r(t) = clip((t - t0) / (t1 - t0), 0, 1); with t0 = t1 it is a switch."""

    before: AbstractObjective
    after: AbstractObjective
    t0: Float[Array, ""] = eqx.field(converter=coefficient, default=0.0)
    t1: Float[Array, ""] = eqx.field(converter=coefficient, default=1.0)

    def __call__(self, pair: PairLogProbs, progress: Scalar) -> Float[Array, " row"]:
        """The loss of each row."""
        share = ramp(progress, self.t0, self.t1)
        return (1 - share) * self.before(pair, progress) + share * self.after(pair, progress)
