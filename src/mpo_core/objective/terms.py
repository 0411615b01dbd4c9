"""The quantities objectives are made of, a row each."""

from typing import Literal

from jaxtyping import Array, Float

from mpo_core.objective.pair_log_probs import PairLogProbs

Reduction = Literal["sum", "mean"]
"""Over the tokens of a trajectory."""


def log_ratio_margin(pair: PairLogProbs) -> Float[Array, " row"]:
    """D = a - b: by how much the policy has moved towards the chosen trajectory since the reference."""
    return pair.chosen_ratio - pair.rejected_ratio


def mean_log_ratio_margin(pair: PairLogProbs) -> Float[Array, " row"]:
    """A - B: the same with each log-ratio divided by its length."""
    return pair.chosen_ratio / pair.chosen_length - pair.rejected_ratio / pair.rejected_length


def log_prob_margin(pair: PairLogProbs) -> Float[Array, " row"]:
    """P = lw - ll: by how much the policy prefers the chosen trajectory."""
    return pair.chosen - pair.rejected


def mean_log_prob_margin(pair: PairLogProbs) -> Float[Array, " row"]:
    """mw - ml: the same on mean token log-probs."""
    return pair.chosen_mean - pair.rejected_mean


def chosen_nll(pair: PairLogProbs, reduction: Reduction) -> Float[Array, " row"]:
    """Negative log-likelihood of the chosen trajectory."""
    return -(pair.chosen if reduction == "sum" else pair.chosen_mean)
