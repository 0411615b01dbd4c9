"""Losses in which the rows of a minibatch meet."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from mpo_core.objective import AbstractObjective, Scalar, coefficient
from mpo_core.objectives.entry import CatalogueEntry, around
from mpo_core.objectives.terms import log_prob_margin, log_ratio_margin
from mpo_core.pair_log_probs import PairLogProbs
from mpo_core.stable import negative_log_sigmoid


def _sorted_difference(mine: Float[Array, " row"], theirs: Float[Array, " row"]) -> Float[Array, " row"]:
    """What remains of each value once the value of the same rank is taken away."""
    rank = jnp.argsort(jnp.argsort(mine))
    return mine - jnp.sort(theirs)[rank]


def _all_pairs(beta: Float[Array, ""], pair: PairLogProbs) -> Float[Array, "row row"]:
    """softplus(-beta (a_i - b_j))."""
    return negative_log_sigmoid(beta * (pair.chosen_ratio[:, None] - pair.rejected_ratio[None, :]))


class BetaDpo(AbstractObjective):
    """softplus(-sg(max(0.001, beta (1 + a (mean D - m0)))) D).

    sg stops the gradient. The stateless part: m0 is fixed, where the original has a moving average of D, and no
    rows are filtered. Wu et al. 2024, arXiv 2407.08639. Defaults: beta 0.1, a 0.6, m0 0. With reference, not
    length-normalised, no member of MPO: the loss of a row depends on the other rows of the batch.
    """

    beta: Float[Array, ""] = eqx.field(converter=coefficient, default=0.1)
    a: Float[Array, ""] = eqx.field(converter=coefficient, default=0.6)
    m0: Float[Array, ""] = eqx.field(converter=coefficient, default=0.0)

    def __call__(self, pair: PairLogProbs, progress: Scalar) -> Float[Array, " row"]:
        """The loss of each row."""
        margin = log_ratio_margin(pair)
        beta = jnp.maximum(self.beta * (1 + self.a * (margin.mean() - self.m0)), 1e-3)
        return negative_log_sigmoid(jax.lax.stop_gradient(beta) * margin)


class Aot(AbstractObjective):
    """softplus(-beta (sort(P) - sort(R))), R = rw - rl; beta 0.01. Melnyk et al. 2024, arXiv 2406.05882.

    A row meets the R of its own rank; one row alone is dpo. With reference, not length-normalised, no member of
    MPO: the loss of a row depends on the other rows of the batch.
    """

    beta: Float[Array, ""] = eqx.field(converter=coefficient, default=0.01)

    def __call__(self, pair: PairLogProbs, progress: Scalar) -> Float[Array, " row"]:
        """The loss of each row."""
        return negative_log_sigmoid(
            self.beta * _sorted_difference(log_prob_margin(pair), pair.ref_chosen - pair.ref_rejected)
        )


class AotUnpaired(AbstractObjective):
    """softplus(-beta (sort(a) - sort(b))); beta 0.01. Melnyk et al. 2024, arXiv 2406.05882.

    A row meets the b of its own rank among a; one row alone is dpo. With reference, not length-normalised, no
    member of MPO: the loss of a row depends on the other rows of the batch.
    """

    beta: Float[Array, ""] = eqx.field(converter=coefficient, default=0.01)

    def __call__(self, pair: PairLogProbs, progress: Scalar) -> Float[Array, " row"]:
        """The loss of each row."""
        return negative_log_sigmoid(self.beta * _sorted_difference(pair.chosen_ratio, pair.rejected_ratio))


class RelativePo(AbstractObjective):
    """mean over j of softplus(-beta (a - b_j)); beta 0.1. Yin et al. 2024 (Relative Preference Optimization).

    Each chosen meets every rejected of the minibatch with equal weight, all starts being alike. With reference,
    not length-normalised, no member of MPO: the loss of a row depends on the other rows of the batch.
    """

    beta: Float[Array, ""] = eqx.field(converter=coefficient, default=0.1)

    def __call__(self, pair: PairLogProbs, progress: Scalar) -> Float[Array, " row"]:
        """The loss of each row."""
        return _all_pairs(self.beta, pair).mean(axis=1)


class RpoDiagonal(AbstractObjective):
    """c softplus(-beta D) + (1 - c) mean over j != i of softplus(-beta (a - b_j)).

    One row alone is dpo. Yin et al. 2024 (Relative Preference Optimization). Defaults: beta 0.1, c 0.8. With
    reference, not length-normalised, no member of MPO: the loss of a row depends on the other rows of the batch.
    """

    beta: Float[Array, ""] = eqx.field(converter=coefficient, default=0.1)
    c: Float[Array, ""] = eqx.field(converter=coefficient, default=0.8)

    def __call__(self, pair: PairLogProbs, progress: Scalar) -> Float[Array, " row"]:
        """The loss of each row."""
        losses = _all_pairs(self.beta, pair)
        own, others = jnp.diagonal(losses), losses.shape[0] - 1
        if not others:
            return own
        return self.c * own + (1 - self.c) * (losses.sum(axis=1) - own) / others


ENTRIES = (
    CatalogueEntry(
        id="beta_dpo",
        factory=BetaDpo,
        family="batch",
        citation="Wu et al. 2024, arXiv 2407.08639",
        formula="softplus(-sg(max(0.001, beta (1 + a (mean D - m0)))) D)",
        needs_reference=True,
        length_normalised=False,
        member="no",
        tuning=(around("beta", 0.1, "sum"),),
    ),
    CatalogueEntry(
        id="aot",
        factory=Aot,
        family="batch",
        citation="Melnyk et al. 2024, arXiv 2406.05882",
        formula="softplus(-beta (sort(P) - sort(R))), R = rw - rl",
        needs_reference=True,
        length_normalised=False,
        member="no",
        tuning=(around("beta", 0.01, "sum"),),
    ),
    CatalogueEntry(
        id="aot_unpaired",
        factory=AotUnpaired,
        family="batch",
        citation="Melnyk et al. 2024, arXiv 2406.05882",
        formula="softplus(-beta (sort(a) - sort(b)))",
        needs_reference=True,
        length_normalised=False,
        member="no",
        tuning=(around("beta", 0.01, "sum"),),
    ),
    CatalogueEntry(
        id="relative_po",
        factory=RelativePo,
        family="batch",
        citation="Yin et al. 2024 (Relative Preference Optimization)",
        formula="mean over j of softplus(-beta (a - b_j))",
        needs_reference=True,
        length_normalised=False,
        member="no",
        tuning=(around("beta", 0.1, "sum"),),
    ),
    CatalogueEntry(
        id="rpo_diagonal",
        factory=RpoDiagonal,
        family="batch",
        citation="Yin et al. 2024 (Relative Preference Optimization)",
        formula="c softplus(-beta D) + (1 - c) mean over j != i of softplus(-beta (a - b_j))",
        needs_reference=True,
        length_normalised=False,
        member="no",
        tuning=(around("beta", 0.1, "sum"),),
    ),
)
