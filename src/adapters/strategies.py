"""evosax strategies by name: one place for the sign (evosax minimises, we maximise) and for sigma.

evosax: https://github.com/RobertTLange/evosax. Importing it starts the JAX backend, so it is imported on use only.
"""

import inspect
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from adapters.search_settings import StrategySettings
from adapters.strategy_names import strategy_class_name
from mpo_core.seeds import Stream, stream_key


class Strategy:
    """Ask for a population, tell the scores of its members. Scores are to be maximised; non-finite ones rank worst.

    Build one a run: evosax compiles anew for every object.
    """

    def __init__(self, settings: StrategySettings, mean: PyTree, generations: int):
        self.settings = settings
        self._algorithm = _build(settings, mean, generations)
        self._start = mean
        self._params = _strong(_with_sigma(self._algorithm.default_params, settings.sigma))

    def init(self, seed: int) -> Any:
        """The state before the first generation: the mean is where the search starts."""
        key = stream_key(seed, Stream.STRATEGY, 0)
        return _strong(self._algorithm.init(key, self._start, self._params))

    def ask(self, state: Any, *, key: PRNGKeyArray) -> tuple[PyTree, Any]:
        """A population: learned parameters with a leading member axis."""
        return self._algorithm.ask(key, state, self._params)

    def tell(self, state: Any, population: PyTree, score: Float[Array, " member"], *, key: PRNGKeyArray) -> Any:
        """Moves the search distribution towards the members that score high."""
        cost = jnp.where(jnp.isfinite(score), -score, jnp.inf)
        return self._algorithm.tell(key, population, cost, state, self._params)[0]

    def mean(self, state: Any) -> PyTree:
        """The mean of the search distribution: what a search returns."""
        return self._algorithm.get_mean(state)


def _build(settings: StrategySettings, mean: PyTree, generations: int) -> Any:
    import evosax.algorithms

    algorithm = evosax.algorithms.distribution_based_algorithms[strategy_class_name(settings.name)]
    accepted = inspect.signature(algorithm).parameters
    options: dict[str, Any] = {"population_size": settings.population, "solution": mean}
    if "std_schedule" in accepted:
        options["std_schedule"] = _decay(settings.sigma, settings.sigma_decay, generations)
    if "optimizer" in accepted and "learning_rate" in inspect.getsource(algorithm) and settings.name in _GRADIENT:
        rate = _decay(settings.learning_rate, settings.learning_rate_decay, generations)
        options["optimizer"] = optax.adam(rate)
    if settings.name in _GRADIENT:
        from evosax.core.fitness_shaping import centered_rank_fitness_shaping_fn

        options["fitness_shaping_fn"] = centered_rank_fitness_shaping_fn
    return algorithm(**options)


_GRADIENT = ("openes", "pgpe", "ars", "guided_es", "asebo", "persistent_es", "noise_reuse_es")
"""Strategies that follow an estimated gradient with an optimiser: Adam and centred ranks for all of them."""


def _decay(first: float, factor: float, generations: int) -> optax.Schedule:
    return optax.exponential_decay(first, transition_steps=max(generations, 1), decay_rate=factor)


def _with_sigma(params: Any, sigma: float) -> Any:
    return params.replace(std_init=jnp.float32(sigma)) if hasattr(params, "std_init") else params


def _strong(tree: Any) -> Any:
    """Arrays of fixed dtype: evosax starts from weakly typed ones, which would compile every program twice."""
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype=jnp.asarray(leaf).dtype), tree)
