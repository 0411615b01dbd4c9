"""Rows to evaluate objectives at."""

import jax
import jax.numpy as jnp
import numpy as np

from mpo_core.objective.pair_log_probs import PairLogProbs


def pair_at(point, **changes):
    return PairLogProbs(**{**point, **changes})


def random_point(rows=6, seed=0):
    draw = np.random.default_rng(seed)
    lengths = draw.integers(5, 40, (2, rows)).astype(float)
    means = -draw.uniform(0.2, 3.0, (4, rows))
    return {
        "chosen": means[0] * lengths[0],
        "rejected": means[1] * lengths[1],
        "ref_chosen": means[2] * lengths[0],
        "ref_rejected": means[3] * lengths[1],
        "chosen_length": lengths[0],
        "rejected_length": lengths[1],
        "margin": draw.normal(size=rows),
    }


def value_and_slopes(objective, point, progress=0.25):
    """Loss of each row, and derivatives of the summed loss by the log-probs of chosen and rejected."""

    def summed(chosen, rejected):
        losses = objective(pair_at(point, chosen=chosen, rejected=rejected), progress)
        return losses.sum(), losses

    arguments = [jnp.atleast_1d(jnp.asarray(point[name], float)) for name in ("chosen", "rejected")]
    (_, losses), slopes = jax.value_and_grad(summed, (0, 1), has_aux=True)(*arguments)
    return losses, *slopes
