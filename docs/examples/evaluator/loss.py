"""ORPO by hand: where a search for losses may start. `pair` is a `PairLogProbs`, `progress` a number in [0, 1)."""

import jax
import jax.numpy as jnp

# EVOLVE-BLOCK-START


def loss(pair, progress):
    """One number a row, to minimise."""

    def log_odds(mean):
        mean = jnp.minimum(mean, -1e-6)
        return mean - jnp.log1p(-jnp.exp(mean))

    odds_ratio = log_odds(pair.chosen_mean) - log_odds(pair.rejected_mean)
    return -pair.chosen_mean + 0.1 * jax.nn.softplus(-odds_ratio)


# EVOLVE-BLOCK-END
