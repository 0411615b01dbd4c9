"""What `mpo.objectives` finds: SimPO's difference of means under the square of a hinge."""

from typing import ClassVar

import jax.numpy as jnp
from jaxtyping import Array, Float

from mpo_core import AbstractObjective, LossCard, PairLogProbs, setting
from mpo_core.objective.domain import NON_NEGATIVE, POSITIVE
from mpo_core.objective.interface import Scalar
from mpo_core.objective.setting import SearchRange


class SquareHinge(AbstractObjective):
    """relu(gamma - beta (mw - ml))^2, a row each."""

    card: ClassVar[LossCard] = LossCard(
        id="square_hinge",
        family="mpo_reach",
        citation="an example of mpo's documentation",
        formula="relu(gamma - beta (mw - ml))^2",
        member="M0-bar",
        no_member="mpo has no map that is the square of a hinge",
        length_normalised=True,
    )

    beta: Float[Array, ""] = setting(2.0, POSITIVE, SearchRange(0.5, 8.0, "mean", log=True))
    gamma: Float[Array, ""] = setting(1.0, NON_NEGATIVE, SearchRange(0.2, 3.0, log=True))

    def __call__(self, pair: PairLogProbs, progress: Scalar) -> Float[Array, " row"]:
        """The loss of each row."""
        margin = pair.chosen_mean - pair.rejected_mean
        return jnp.square(jnp.maximum(self.gamma - self.beta * margin, 0.0))
