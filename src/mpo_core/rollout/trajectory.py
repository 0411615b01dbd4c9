"""What an agent did in an episode."""

import equinox as eqx
from jaxtyping import Float

from mpo_core.arrays import AnyArray


class Trajectory(eqx.Module):
    """One episode, or with leading axes a batch of them.

    `alive` is 1 while the episode runs; steps after its end are padding and count nowhere.
    """

    observation: Float[AnyArray, "*batch time observation"]
    action: Float[AnyArray, "*batch time action"]
    reward: Float[AnyArray, "*batch time"]
    alive: Float[AnyArray, "*batch time"]

    @property
    def return_(self) -> Float[AnyArray, "*batch"]:
        """Undiscounted sum of the rewards of the alive steps."""
        return (self.reward * self.alive).sum(-1)

    @property
    def tokens(self) -> Float[AnyArray, "*batch"]:
        """Length in tokens: alive steps times action dimensions."""
        return self.alive.sum(-1) * self.action.shape[-1]
