"""How hard a loss pulls at the two trajectories of a row."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from mpo_core.losses.families.imitation import SftMean
from mpo_core.objective.interface import AbstractObjective
from mpo_core.objective.pair_log_probs import PairLogProbs
from mpo_experiments.show.inputs import Inputs
from mpo_experiments.show.moments import LAST


def row_pulls(objective: AbstractObjective, pair: PairLogProbs, progress: float) -> Float[np.ndarray, "row side"]:
    """-dL/d(mean token log-prob) of the chosen and the rejected trajectory of each row: positive raises it.

    Each row counts as a batch of its own, and an objective with a state is in the one it starts from.
    """
    return np.asarray(_pulls(objective, pair, jnp.float32(progress)))


def pulls_over_training(objective: AbstractObjective, inputs: Inputs) -> Float[np.ndarray, "moment row side"]:
    """The pulls at every moment of a training: those of SFT while it lasts, then those of the objective."""
    return np.stack(
        [
            row_pulls(SftMean() if moment < inputs.sft else objective, inputs.pair(moment), float(progress))
            for moment, progress in enumerate(inputs.progress)
        ]
    )


def depends_on_time(objective: AbstractObjective, inputs: Inputs) -> bool:
    """Whether the pulls at the last rows differ between moments of training."""
    pair = inputs.pair(len(inputs.progress) - 1)
    first, *others = (row_pulls(objective, pair, progress) for progress in (0.0, 0.5, LAST))
    scale = np.nanmax(np.abs(first), initial=1e-12)
    return not all(np.allclose(first, other, rtol=1e-3, atol=1e-4 * scale, equal_nan=True) for other in others)


@jax.jit
def _pulls(objective: AbstractObjective, pair: PairLogProbs, progress: Array) -> Array:
    def loss(sides: Array, row: PairLogProbs) -> Array:
        alone = dataclasses.replace(row, chosen=sides[0] * row.chosen_length, rejected=sides[1] * row.rejected_length)
        return objective(alone, progress).sum()

    def pull(row: PairLogProbs) -> Array:
        row = jax.tree.map(lambda leaf: leaf[None], row)
        return -jax.grad(loss)(jnp.stack([row.chosen_mean[0], row.rejected_mean[0]]), row)

    return jax.vmap(pull)(pair)
