"""A policy's view of a batch of preference rows: the only thing an objective sees."""

import dataclasses

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float, Int

MAX_LOG_PROB = -1.0000005e-6
"""Where a logit is taken, log-probabilities are clamped here: log(1 - 1e-6) to float rounding."""


def _per_row(value: ArrayLike) -> Array:
    array = jnp.atleast_1d(jnp.asarray(value))
    if not jnp.issubdtype(array.dtype, jnp.floating):
        return array.astype(float)
    return array.astype(jnp.float32) if jnp.finfo(array.dtype).bits < 32 else array


def _group(value: ArrayLike | None) -> Array | None:
    return None if value is None else jnp.atleast_1d(jnp.asarray(value))


class PairLogProbs(eqx.Module):
    """Log-probabilities of chosen and rejected trajectories, summed over their tokens, a row each.

    Numbers and numpy arrays are converted, floats of half precision to single: differences of long sums, and logits of
    probabilities near 1, need its digits. Zeros stand for a reference or margin that is not known.

    Raises:
        ValueError: the fields differ in shape, or have more than the one axis; nothing is broadcast.
    """

    chosen: Float[Array, " row"] = eqx.field(converter=_per_row)
    """Sum of token log-probs of the chosen trajectory under the policy (nats)."""
    rejected: Float[Array, " row"] = eqx.field(converter=_per_row)
    ref_chosen: Float[Array, " row"] = eqx.field(converter=_per_row)
    """The same under the reference policy, without gradient."""
    ref_rejected: Float[Array, " row"] = eqx.field(converter=_per_row)
    chosen_length: Float[Array, " row"] = eqx.field(converter=_per_row)
    """Length in tokens, at least 1."""
    rejected_length: Float[Array, " row"] = eqx.field(converter=_per_row)
    margin: Float[Array, " row"] = eqx.field(converter=_per_row)
    """Chosen minus rejected return as the judge's label has it, in standard deviations of the dataset."""
    group: Int[Array, " row"] | None = eqx.field(converter=_group, default=None)
    """How many of a row's trajectories are the target agent's: 0, 1 or 2; None: not told. Privileged information."""

    def __check_init__(self):
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        shapes = {name: value.shape for name, value in fields.items() if value is not None}
        if len(set(shapes.values())) > 1 or len(shapes["chosen"]) != 1:
            shown = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
            raise ValueError(f"PairLogProbs takes one number a row in every field, and has the shapes {shown}")

    @property
    def chosen_mean(self) -> Float[Array, " row"]:
        """Mean token log-prob of the chosen trajectory."""
        return self.chosen / self.chosen_length

    @property
    def rejected_mean(self) -> Float[Array, " row"]:
        """Mean token log-prob of the rejected trajectory."""
        return self.rejected / self.rejected_length

    @property
    def chosen_ratio(self) -> Float[Array, " row"]:
        """Log-ratio policy to reference of the chosen trajectory."""
        return self.chosen - self.ref_chosen

    @property
    def rejected_ratio(self) -> Float[Array, " row"]:
        """Log-ratio policy to reference of the rejected trajectory."""
        return self.rejected - self.ref_rejected
