"""What `mpo.objectives` finds: SimPO's difference of means under the square of a hinge."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from mpo_core import AbstractObjective, CatalogueEntry, PairLogProbs
from mpo_core.losses.catalogue import TuningRange
from mpo_core.objective.interface import Scalar, coefficient


class SquareHinge(AbstractObjective):
    """relu(gamma - beta (mw - ml))^2, a row each. Defaults: beta 2, gamma 1."""

    beta: Float[Array, ""] = eqx.field(converter=coefficient, default=2.0)
    gamma: Float[Array, ""] = eqx.field(converter=coefficient, default=1.0)

    def __call__(self, pair: PairLogProbs, progress: Scalar) -> Float[Array, " row"]:
        """The loss of each row."""
        margin = pair.chosen_mean - pair.rejected_mean
        return jnp.square(jnp.maximum(self.gamma - self.beta * margin, 0.0))


SQUARE_HINGE = CatalogueEntry(
    id="square_hinge",
    factory=SquareHinge,
    family="mpo_reach",
    citation="an example of mpo's documentation",
    formula="relu(gamma - beta (mw - ml))^2",
    needs_reference=False,
    length_normalised=True,
    member="M0-bar",
    tuning=(TuningRange("beta", 0.5, 8.0, "mean", log=True), TuningRange("gamma", 0.2, 3.0, "none", log=True)),
)
