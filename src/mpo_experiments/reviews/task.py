"""Writing a review as a task: a step is a token, the start state a prompt, the return what the review is worth."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from mpo_core.rollout.task import TaskState
from mpo_experiments.reviews.grammar import LONGEST, PROMPTS
from mpo_experiments.reviews.token_reward import END_ID, encode, token_reward

PROMPT_TOKENS = np.array([encode(prompt) for prompt in PROMPTS], np.int32)
PROMPT_LENGTH = PROMPT_TOKENS.shape[1]


class Page(eqx.Module):
    """A review under way."""

    prompt: Int[Array, "*batch prompt"]
    tokens: Int[Array, "*batch time"]
    """What is written so far, its end left out."""
    length: Int[Array, "*batch"]
    worth: Float[Array, "*batch"]
    """What it is worth so far."""


class ReviewsTask:
    """Short reviews from a grammar whose worth is known (see `grammar.reward`).

    The reward of a step is what its token adds to the worth of the review so far, so that an episode returns the
    review's worth whenever it is cut off. An episode ends with the end token, or after `LONGEST` tokens. An observation
    is the prompt and the token before: all that a language policy, which remembers the rest, has to be told.
    """

    backend = "tokens"
    observation_size = PROMPT_LENGTH + 1
    action_size = 1

    def __init__(self, name: str):
        self.name = name

    def reset(self, *, key: PRNGKeyArray) -> TaskState:
        """An empty page under one of the prompts, each as likely."""
        prompt = jnp.asarray(PROMPT_TOKENS)[jax.random.randint(key, (), 0, len(PROMPT_TOKENS))]
        page = Page(prompt, jnp.zeros(LONGEST, jnp.int32), jnp.zeros((), jnp.int32), jnp.zeros(()))
        return _state(page, prompt[-1], jnp.zeros(()), jnp.zeros(()))

    def step(self, state: TaskState, action: Float[Array, " action"]) -> TaskState:
        """Writes one token."""
        page: Page = state.physics
        token = action[0].astype(jnp.int32)
        ends = token == END_ID
        tokens = jnp.where(jnp.arange(LONGEST) == jnp.where(ends, LONGEST, page.length), token, page.tokens)
        length = jnp.minimum(page.length + ~ends, LONGEST)
        worth = jnp.where(ends | (length > 0), token_reward(page.prompt, tokens, length), 0.0)
        done = ends | (length == LONGEST)
        page = Page(page.prompt, tokens, length, worth)
        return _state(page, token, worth - state.physics.worth, done.astype(jnp.float32))


def _state(page: Page, last: Array, reward: Array, done: Array) -> TaskState:
    observation = jnp.append(page.prompt, last).astype(jnp.float32)
    return TaskState(page, observation, reward, done)
