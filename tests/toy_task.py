"""A point mass on a line: a task whose best action is known and whose programs compile in a blink."""

import jax
import jax.numpy as jnp

from mpo_core.task import TaskState


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
