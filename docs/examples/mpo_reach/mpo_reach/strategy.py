"""What `mpo.strategies` finds: evosax's SNES with draws in mirrored pairs. Every mpo command imports this file, and
importing evosax starts JAX, so that waits until a search begins."""

from typing import Any

from adapters.evosax.entries import StrategyEntry


def mirrored_snes(population_size: int, solution: Any) -> Any:
    """Builds the strategy."""
    import jax
    import jax.numpy as jnp
    from evosax.algorithms import SNES

    class MirroredSNES(SNES):
        def _ask(self, key: Any, state: Any, params: Any) -> Any:
            half = jax.random.normal(key, (self.population_size // 2, self.num_dims))
            return state.mean + state.std * jnp.concatenate([half, -half]), state

    return MirroredSNES(population_size, solution)


MIRRORED_SNES = StrategyEntry(
    name="mirrored_snes",
    algorithm="mpo_reach.strategy:mirrored_snes",
    description="SNES with draws in mirrored pairs",
    antithetic=True,
)
