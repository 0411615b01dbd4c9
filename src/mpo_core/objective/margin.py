"""Objectives that are a function of the reference-corrected margin of summed log-probs."""

from abc import abstractmethod

import equinox as eqx
from jaxtyping import Array, Float

from mpo_core.objective.interface import AbstractObjective, Scalar
from mpo_core.objective.pair_log_probs import PairLogProbs
from mpo_core.objective.terms import log_ratio_margin


class AbstractMarginObjective(AbstractObjective):
    """An objective that is a function of u = beta D alone, and so a member of MPO with psi = minus that function."""

    beta: eqx.AbstractVar[Float[Array, ""]]

    @abstractmethod
    def of_margin(self, u: Float[Array, "*any"]) -> Float[Array, "*any"]:
        """The loss as a function of the scaled margin."""

    def __call__(self, pair: PairLogProbs, progress: Scalar) -> Float[Array, " row"]:
        """f(beta D)."""
        return self.of_margin(self.beta * log_ratio_margin(pair))
