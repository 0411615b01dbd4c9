"""What a label fault sees of a dataset: returns, lengths and makers of its pairs, and the labels so far."""

import dataclasses

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from mpo_core.arrays import AnyArray


class LabelledPairs(eqx.Module):
    """All pairs of a dataset as a label fault sees them."""

    return_: Float[AnyArray, "row side"]
    """True undiscounted return (of a text: its true reward)."""
    length: Float[AnyArray, "row side"]
    """Alive steps (of a text: words)."""
    source: Int[AnyArray, "row side"]
    """0 where the trajectory is the original agent's, 1 the target agent's, 2 the other agent's."""
    second_wins: Bool[AnyArray, " row"]
    """The labels so far: True where they prefer the second trajectory."""

    @property
    def margin(self) -> Float[Array, " row"]:
        """True absolute difference of return, in root mean squares of the dataset's differences."""
        difference = jnp.abs(self.return_[:, 1] - self.return_[:, 0])
        return difference / jnp.maximum(jnp.sqrt(jnp.mean(jnp.square(difference))), 1e-12)

    def with_labels(self, second_wins: Bool[AnyArray, " row"]) -> "LabelledPairs":
        """The same pairs with other labels."""
        return dataclasses.replace(self, second_wins=second_wins)
