"""Random search behind evosax's interface: the row of a table that tells whether evolution is needed.

Our own rule. Every generation has the best candidate so far, the generation's before best draw, and fresh draws around
the search's start, all of one normal distribution that never moves. A draw that scored best of many was partly lucky:
so it has to prove itself, on the fresh units of the next generation, before it is kept.
"""

from typing import Any

import jax
import jax.numpy as jnp
from evosax.algorithms.distribution_based.base import (
    DistributionBasedAlgorithm,
    Params as BaseParams,
    State as BaseState,
)
from flax import struct
from jaxtyping import Array, Float, PRNGKeyArray

KEPT, CHALLENGER, FIRST_FRESH = 0, 1, 2
"""Places in a population."""


@struct.dataclass
class State(BaseState):
    """Untyped, since JAX also rebuilds states from shapes alone. `mean` is the best so far."""

    challenger: Any
    """The best fresh draw of the generation before."""
    gain_sum: Any
    """Of the best so far: what it cost less than its generations' median fresh draws, on units it was not chosen by."""
    gain_count: Any
    best_fitness: Any
    generation_counter: Any


@struct.dataclass
class Params(BaseParams):
    """`std_init` is the standard deviation of every draw."""

    std_init: Any


class RandomSearch(DistributionBasedAlgorithm):
    """Two of a population's members are scored again, the others are fresh draws: the budget is that of a strategy.

    Scores of different generations are on different units. They are compared by their gain over the generation's
    median fresh draw, since fresh draws are of the same distribution in every generation. The challenger takes the
    place of the best so far if its gain is above the mean gain of that one in all generations since it was kept.
    """

    @property
    def _default_params(self) -> Params:
        return Params(std_init=jnp.float32(1))

    def _init(self, key: PRNGKeyArray, params: Params) -> State:
        nowhere = jnp.full((self.num_dims,), jnp.nan)
        return State(
            mean=self.solution_flat, challenger=self.solution_flat, gain_sum=jnp.float32(0), gain_count=jnp.float32(0),
            best_solution=nowhere, best_fitness=jnp.inf, generation_counter=0,
        )  # fmt: skip

    def _ask(self, key: PRNGKeyArray, state: State, params: Params) -> tuple[Float[Array, "member parameter"], State]:
        noise = jax.random.normal(key, (self.population_size - FIRST_FRESH, self.num_dims))
        fresh = self.solution_flat + params.std_init * noise
        return jnp.concatenate([state.mean[None], state.challenger[None], fresh]), state

    def _tell(
        self,
        key: PRNGKeyArray,
        population: Float[Array, "member parameter"],
        fitness: Float[Array, " member"],
        state: State,
        params: Params,
    ) -> State:
        fresh = fitness[FIRST_FRESH:]
        gain = jnp.median(fresh) - fitness
        total, count = state.gain_sum + gain[KEPT], state.gain_count + 1
        better = gain[CHALLENGER] > total / count
        return state.replace(
            mean=jnp.where(better, state.challenger, state.mean),
            gain_sum=jnp.where(better, gain[CHALLENGER], total),
            gain_count=jnp.where(better, jnp.float32(1), count),
            challenger=population[FIRST_FRESH + jnp.argmin(fresh)],
        )
