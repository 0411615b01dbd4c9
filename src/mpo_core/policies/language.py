"""A language model that answers prompts: a transformer as a policy whose actions are tokens."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from mpo_core.policies.policy import AbstractPolicy, parameter_count
from mpo_core.policies.transformer import Cache, Transformer


class LanguagePolicy(AbstractPolicy):
    """The next token of an answer; an observation is the prompt's tokens and then the token before this one.

    A token is one step; its probability is that of the softmax, so that a trajectory's log-prob is the text's.
    """

    model: Transformer
    prompt: int = eqx.field(static=True)
    """Tokens of a prompt."""
    longest: int = eqx.field(static=True)
    """Tokens of the longest answer, its end included."""

    @property
    def widths(self) -> tuple[int, ...]:
        """Numbers a token in each block, the attention to all others among them, and its logits."""
        width, vocabulary = self.model.head.shape[-2:]
        hidden, tokens = self.model.blocks[0].gate.shape[-1], self.prompt + self.longest
        return (7 * width + 3 * hidden + 2 * self.model.heads * tokens,) * len(self.model.blocks) + (2 * vocabulary,)

    @property
    def step_flops(self) -> int:
        """6 a weight, the embedding's apart, and 12 a number of attention."""
        weights = parameter_count(self) - self.model.embedding.size
        return 6 * weights + 12 * len(self.model.blocks) * self.model.head.shape[-2] * (self.prompt + self.longest)

    def begin(self, observation: Float[Array, "env observation"]) -> Cache:
        """Keys and values of the prompt, its last token apart."""
        tokens = observation[:, : self.prompt].astype(jnp.int32)
        empty = self.model.empty_cache(self.prompt + self.longest)
        caches = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (len(tokens), *leaf.shape)), empty)
        for place in range(self.prompt - 1):
            _, caches = jax.vmap(self.model.step)(tokens[:, place], caches)
        return caches

    def act(
        self,
        observation: Float[Array, "env observation"],
        memory: Cache,
        noise: Float[Array, ""],
        key: Key[Array, " env"],
    ) -> tuple[Float[Array, "env action"], Cache]:
        """The token with the highest log-prob plus Gumbel noise; at noise 1 that is a draw at temperature 1."""
        log_probs, memory = jax.vmap(self.model.step)(observation[:, -1].astype(jnp.int32), memory)
        gumbel = jax.vmap(lambda one: jax.random.gumbel(one, log_probs.shape[1:]))(key)
        token = jnp.argmax(log_probs + noise * gumbel, axis=-1)
        return token[:, None].astype(jnp.float32), memory
