"""What agents did: trajectories, and rows of two of them."""

import equinox as eqx
from jaxtyping import Bool, Float, Int

from mpo_core.arrays import AnyArray

CHOSEN, REJECTED = 0, 1


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


class PreferenceRows(eqx.Module):
    """A preference dataset. Side 0 is the trajectory the judge chose, side 1 the one it rejected."""

    observation: Float[AnyArray, "row side time observation"]
    action: Float[AnyArray, "row side time action"]
    alive: Float[AnyArray, "row side time"]
    return_: Float[AnyArray, "row side"]
    margin: Float[AnyArray, " row"]
    """Chosen minus rejected return as the judge's label has it, in standard deviations of the dataset."""
    flipped: Bool[AnyArray, " row"]
    """True where label noise turned the judge's verdict."""
    source: Int[AnyArray, "row side"]
    """0 where the trajectory is the original agent's, 1 where it is the target agent's."""

    @property
    def tokens(self) -> Float[AnyArray, "row side"]:
        """Length in tokens: alive steps times action dimensions."""
        return self.alive.sum(-1) * self.action.shape[-1]
