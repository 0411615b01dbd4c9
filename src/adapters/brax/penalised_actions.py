"""An environment whose reward is lowered by the use of some actuators: a stylistic constraint on an agent."""

import dataclasses

import jax
import jax.numpy as jnp

from adapters.brax.environments import envs

METRIC = "reward_penalised_actions"


class PenalisedActions(envs.Wrapper):
    """Takes `weight` times the sum of squares of some actions off the reward."""

    def __init__(self, env: envs.Env, actions: tuple[int, ...], weight: float):
        super().__init__(env)
        self._actions, self._weight = jnp.asarray(actions), weight

    def reset(self, rng: jax.Array) -> envs.State:
        """A fresh episode; the metric is there from the start, since a scan's carry keeps its structure."""
        state = self.env.reset(rng)
        metrics = {**state.metrics, METRIC: jnp.zeros_like(state.reward)}
        return dataclasses.replace(state, metrics=metrics)

    def step(self, state: envs.State, action: jax.Array) -> envs.State:
        """One control step."""
        state = self.env.step(state, action)
        penalty = self._weight * jnp.square(action[self._actions]).sum()
        metrics = {**state.metrics, METRIC: -penalty}
        return dataclasses.replace(state, reward=state.reward - penalty, metrics=metrics)
