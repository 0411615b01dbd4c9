"""evosax strategies by name: one place for the sign (evosax minimises, we maximise) and for sigma.

evosax: https://github.com/RobertTLange/evosax. Importing it starts the JAX backend, so it is imported on use only.
"""

import importlib
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, PRNGKeyArray, PyTree

from adapters.evosax.entries import StrategyEntry, strategy_entry
from adapters.evosax.settings import StrategySettings
from mpo_core.seeds import Stream, stream_key


class Strategy:
    """Ask for a population, tell the scores of its members. Scores are to be maximised; non-finite ones rank worst.

    Build one a run: evosax compiles anew for every object.
    """

    def __init__(self, settings: StrategySettings, mean: PyTree, generations: int):
        self.settings, self.entry = settings, strategy_entry(settings.name)
        self._algorithm = _build(settings, self.entry, mean, generations)
        self._start = mean
        self._params = _strong(_with_sigma(self._algorithm.default_params, self.entry.std_init(settings.sigma)))

    def init(self, seed: int) -> Any:
        """The state before the first generation: the mean is where the search starts."""
        key = stream_key(seed, Stream.STRATEGY, 0)
        return _strong(self._algorithm.init(key, self._start, self._params))

    def ask(self, state: Any, *, key: PRNGKeyArray) -> tuple[PyTree, Any]:
        """A population: learned parameters with a leading member axis."""
        return self._algorithm.ask(key, state, self._params)

    def tell(self, state: Any, population: PyTree, score: Float[Array, " member"], *, key: PRNGKeyArray) -> Any:
        """Moves the search distribution towards the members that score high; stays where every member failed."""
        finite = jnp.isfinite(score)
        moved, _ = self._algorithm.tell(key, population, _costs(score, finite), state, self._params)
        return jax.tree.map(lambda new, old: jnp.where(finite.any(), new, old), moved, state)

    def mean(self, state: Any) -> PyTree:
        """The mean of the search distribution: what a search returns."""
        return self._algorithm.get_mean(state)


def _build(settings: StrategySettings, entry: StrategyEntry, mean: PyTree, generations: int) -> Any:
    module, _, name = entry.algorithm.partition(":")
    options: dict[str, Any] = {"population_size": settings.population, "solution": mean}
    if entry.takes_sigma_schedule:
        options["std_schedule"] = _decay(settings.sigma, settings.sigma_decay, generations)
    if entry.follows_gradient:
        from evosax.core.fitness_shaping import centered_rank_fitness_shaping_fn

        rate = _decay(settings.learning_rate, settings.learning_rate_decay, generations)
        options["optimizer"] = optax.adam(rate)
        options["fitness_shaping_fn"] = centered_rank_fitness_shaping_fn
    return getattr(importlib.import_module(module), name)(**options)


def _costs(score: Float[Array, " member"], finite: Bool[Array, " member"]) -> Float[Array, " member"]:
    """What evosax minimises, always finite: members that failed cost more than the worst of the others."""
    cost = jnp.where(finite, -score, jnp.nan)
    worst, best = jnp.nanmax(cost), jnp.nanmin(cost)
    return jnp.where(finite, cost, worst + jnp.maximum(worst - best, 1e-3))


def _decay(first: float, factor: float, generations: int) -> optax.Schedule:
    return optax.exponential_decay(first, transition_steps=max(generations, 1), decay_rate=factor)


def _with_sigma(params: Any, sigma: float) -> Any:
    return params.replace(std_init=jnp.float32(sigma)) if hasattr(params, "std_init") else params


def _strong(tree: Any) -> Any:
    """Arrays of fixed dtype: evosax starts from weakly typed ones, which would compile every program twice."""
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype=jnp.asarray(leaf).dtype), tree)
