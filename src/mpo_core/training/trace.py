"""What happened in training, an entry an update."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from mpo_core.arrays import AnyArray
from mpo_core.objective.pair_log_probs import MAX_LOG_PROB, PairLogProbs


class TrainingTrace(eqx.Module):
    """What happened, an entry an update."""

    loss: Float[Array, "*update"]
    chosen_mean: Float[Array, "*update"]
    """Mean token log-prob of the chosen trajectories."""
    rejected_mean: Float[Array, "*update"]
    accuracy: Float[Array, "*update"]
    """Share of rows whose chosen trajectory has the higher mean token log-prob."""
    clamped: Float[Array, "*update"]
    """Share of trajectories whose mean token log-prob lies above the clamp, log(1 - 1e-6)."""
    finite: Float[Array, "*update"]
    """1 where loss and gradient are finite."""

    @property
    def first_bad(self) -> Int[Array, "*batch"]:
        """The first update whose loss or gradient is not finite, -1 where there is none; updates are the last axis."""
        return first_bad_update(self.finite)


def first_bad_update(finite: Float[AnyArray, "*batch update"]) -> Int[Array, "*batch"]:
    """The first update that `TrainingTrace.finite` marks with 0; -1 where there is none."""
    bad = jnp.asarray(finite) == 0
    return jnp.where(bad.any(-1), bad.argmax(-1), -1)


def trace_of(loss: Array, gradient: Array, pair: PairLogProbs) -> TrainingTrace:
    """The entry of one update.

    Args:
        gradient: of the loss by the trained parameters.
    """
    means = jnp.stack([pair.chosen_mean, pair.rejected_mean])
    return TrainingTrace(
        loss=loss,
        chosen_mean=means[0].mean(),
        rejected_mean=means[1].mean(),
        accuracy=(means[0] > means[1]).mean(dtype=loss.dtype),
        clamped=(means > MAX_LOG_PROB).mean(dtype=loss.dtype),
        finite=(jnp.isfinite(loss) & jnp.isfinite(gradient).all()).astype(loss.dtype),
    )
