"""A point mass on a line: a task whose best action is known and whose programs compile in a blink."""

import jax
import jax.numpy as jnp

from mpo_core.policies.gaussian import GaussianPolicy, Layer, raw_scale_of
from mpo_core.rollout.task import TaskState

TOY_HORIZON = 20


class ToyTask:
    """Reward 1 - (position - goal)^2 a step; ends when the point leaves [-3, 3]."""

    name = "toy"
    backend = "none"
    observation_size = 3
    action_size = 2
    goal = 1.0

    def _state(self, position, velocity, done):
        observation = jnp.stack([position, velocity, jnp.ones_like(position)])
        return TaskState((position, velocity), observation, 1 - jnp.square(position - self.goal), done)

    def reset(self, *, key):
        position = 0.1 * jax.random.normal(key)
        return self._state(position, jnp.zeros(()), jnp.zeros(()))

    def step(self, state, action):
        action = jnp.clip(action, -1.0, 1.0)
        position, velocity = state.physics
        velocity = 0.8 * velocity + 0.1 * action.sum()
        position = position + 0.2 * velocity
        return self._state(position, velocity, (jnp.abs(position) > 3).astype(float))


def toy_policy(key, push: float) -> GaussianPolicy:
    """A small network whose mean action is about `push` times the distance to the goal."""
    first, second = jax.random.split(key)
    layers = (
        Layer(0.3 * jax.random.normal(first, (3, 8)), jnp.zeros(8)),
        Layer(0.1 * jax.random.normal(second, (8, 2)), jnp.full(2, push)),
    )
    return GaussianPolicy(jnp.zeros(3), jnp.ones(3), layers, raw_scale_of(jnp.full(2, 0.4)))
