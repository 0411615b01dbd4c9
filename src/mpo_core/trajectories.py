"""What agents did: trajectories, and rows of two of them."""

import equinox as eqx
from jaxtyping import Array, Bool, Float, Int

CHOSEN, REJECTED = 0, 1


class Trajectory(eqx.Module):
    """One episode, or with leading axes a batch of them.

    `alive` is 1 while the episode runs; steps after its end are padding and count nowhere.
    """

    observation: Float[Array, "*batch time observation"]
    action: Float[Array, "*batch time action"]
    reward: Float[Array, "*batch time"]
    alive: Float[Array, "*batch time"]

    @property
    def return_(self) -> Float[Array, "*batch"]:
        """Undiscounted sum of the rewards of the alive steps."""
        return (self.reward * self.alive).sum(-1)

    @property
    def tokens(self) -> Float[Array, "*batch"]:
        """Length in tokens: alive steps times action dimensions."""
        return self.alive.sum(-1) * self.action.shape[-1]


class PreferenceRows(eqx.Module):
    """A preference dataset. Side 0 is the trajectory the judge chose, side 1 the one it rejected."""

    observation: Float[Array, "row side time observation"]
    action: Float[Array, "row side time action"]
    alive: Float[Array, "row side time"]
    return_: Float[Array, "row side"]
    margin: Float[Array, " row"]
    """Chosen minus rejected return as the judge's label has it, in standard deviations of the dataset."""
    flipped: Bool[Array, " row"]
    """True where label noise turned the judge's verdict."""
    source: Int[Array, "row side"]
    """0 where the trajectory is the original agent's, 1 where it is the target agent's."""

    @property
    def tokens(self) -> Float[Array, "row side"]:
        """Length in tokens: alive steps times action dimensions."""
        return self.alive.sum(-1) * self.action.shape[-1]
