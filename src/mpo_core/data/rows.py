"""Preference rows: pairs of trajectories with a label."""

import equinox as eqx
from jaxtyping import Bool, Float, Int

from mpo_core.arrays import AnyArray

CHOSEN, REJECTED = 0, 1
ORIGINAL, TARGET, OTHER = range(3)


class PreferenceRows(eqx.Module):
    """A preference dataset. Side 0 is the trajectory the judge chose, side 1 the one it rejected."""

    observation: Float[AnyArray, "row side time observation"]
    action: Float[AnyArray, "row side time action"]
    alive: Float[AnyArray, "row side time"]
    return_: Float[AnyArray, "row side"]
    margin: Float[AnyArray, " row"]
    """Chosen minus rejected return as the judge's label has it, in standard deviations of the dataset."""
    flipped: Bool[AnyArray, " row"]
    """True where label faults turned the judge's verdict."""
    source: Int[AnyArray, "row side"]
    """Place in `mpo_core.settings.AGENTS` of the agent that made the trajectory."""

    @property
    def tokens(self) -> Float[AnyArray, "row side"]:
        """Length in tokens: alive steps times action dimensions."""
        return self.alive.sum(-1) * self.action.shape[-1]
