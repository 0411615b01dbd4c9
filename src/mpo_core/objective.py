"""The interface that hand-written and learned objectives share."""

from abc import abstractmethod

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float

from mpo_core.pair_log_probs import PairLogProbs

Scalar = Float[ArrayLike, ""]


def coefficient(value: ArrayLike) -> Array:
    """Converter of hyper-parameters: a float array, so that a sweep over it is a `vmap`."""
    array = jnp.asarray(value)
    return array if jnp.issubdtype(array.dtype, jnp.floating) else array.astype(float)


class AbstractObjective(eqx.Module):
    """A preference-optimisation loss, to minimise.

    Sub-classes are final: hyper-parameters are array leaves, structure is static, and every one maps rows to rows
    without reducing them. An objective is the bare loss at every progress; an SFT phase before it is a setting of the
    inner loop.
    """

    @abstractmethod
    def __call__(self, pair: PairLogProbs, progress: Scalar) -> Float[Array, " row"]:
        """The loss of each row.

        Args:
            pair: what the policy makes of a batch of rows.
            progress: share of all updates already made, in [0, 1).
        """
