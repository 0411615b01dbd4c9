"""Types in the methods of data faults, whose files import no JAX: at run time they are not looked at."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jaxtyping import Array, Float, PRNGKeyArray

    from mpo_core.arrays import AnyArray
    from mpo_core.data.labelled_pairs import LabelledPairs

    Probability = Float[Array, " row"] | Float[AnyArray, " row"] | float
    """One number for all rows, or one a row."""
else:
    LabelledPairs = PRNGKeyArray = Probability = Any

__all__ = ["LabelledPairs", "PRNGKeyArray", "Probability"]
