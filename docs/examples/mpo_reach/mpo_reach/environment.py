"""A point mass on a plane that must reach a goal: pure JAX behind brax's interface."""

import jax
import jax.numpy as jnp
from brax.envs import Env, State
from jaxtyping import Array, Float, PRNGKeyArray

STRIDE = 0.1
"""Distance covered in a step at full action, in each direction."""
EDGE = 2.0
"""Distance from the goal at which the mass is lost."""


class Reach(Env):
    """The mass starts up to 1 from the goal in each direction; an action in [-1, 1]^2 is its velocity.

    An observation is the place (goal at 0), and the whole state. The reward is 1 at the goal and falls to 0 at the
    edge, where the episode ends.
    """

    observation_size, action_size, backend = 2, 2, "none"

    def reset(self, rng: PRNGKeyArray) -> State:
        """A fresh episode."""
        place = jax.random.uniform(rng, (2,), minval=-1.0, maxval=1.0)
        return State(pipeline_state=None, obs=place, reward=jnp.zeros(()), done=jnp.zeros(()))

    def step(self, state: State, action: Float[Array, " 2"]) -> State:
        """One control step; `replace` keeps what wrappers have put into the state."""
        place = state.obs + STRIDE * action
        distance = jnp.linalg.norm(place)
        reward = jnp.maximum(1 - distance / EDGE, 0.0)
        return state.replace(obs=place, reward=reward, done=(distance > EDGE).astype(float))
