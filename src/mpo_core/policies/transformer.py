"""A small causal transformer: the architecture of Llama (Touvron et al. 2023, arXiv 2302.13971), in equinox.

Root-mean-square norms before attention and feed-forward, rotary positions (Su et al. 2021, arXiv 2104.09864), a gated
feed-forward (SwiGLU, Shazeer 2020, arXiv 2002.05202), no biases. With the same weights it gives what `LlamaForCausalLM`
of transformers gives.
"""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from mpo_core.arrays import AnyArray

ROTARY_BASE = 10_000.0
NORM_EPSILON = 1e-6


@dataclasses.dataclass(frozen=True)
class TransformerSizes:
    """Sizes of a transformer."""

    vocabulary: int
    width: int = 64
    layers: int = 2
    heads: int = 4
    feed_forward: int = 128

    def __post_init__(self):
        if self.width % self.heads or (self.width // self.heads) % 2:
            raise ValueError(f"transformer: width {self.width} must be an even multiple of its {self.heads} heads")


class Block(eqx.Module):
    """Attention and feed-forward; kernels map rows, `x @ kernel`."""

    attention_norm: Float[AnyArray, "*batch width"]
    query: Float[AnyArray, "*batch width width"]
    key: Float[AnyArray, "*batch width width"]
    value: Float[AnyArray, "*batch width width"]
    out: Float[AnyArray, "*batch width width"]
    feed_forward_norm: Float[AnyArray, "*batch width"]
    gate: Float[AnyArray, "*batch width hidden"]
    up: Float[AnyArray, "*batch width hidden"]
    down: Float[AnyArray, "*batch hidden width"]


class Cache(eqx.Module):
    """Keys (turned to their places) and values of the tokens so far, so that the next token costs one token's work."""

    key: Float[Array, "*batch layer token width"]
    value: Float[Array, "*batch layer token width"]
    place: Int[Array, "*batch"]
    """How many tokens there are."""


class Transformer(eqx.Module):
    """Log-probs of the next token."""

    embedding: Float[AnyArray, "*batch vocabulary width"]
    blocks: tuple[Block, ...]
    norm: Float[AnyArray, "*batch width"]
    head: Float[AnyArray, "*batch width vocabulary"]
    heads: int = eqx.field(static=True)

    def next_log_probs(self, tokens: Int[Array, " time"]) -> Float[Array, "time vocabulary"]:
        """Log-probs of every token after each prefix of a text."""
        hidden = jnp.asarray(self.embedding)[tokens]
        cosine, sine = _rotations(tokens.shape[0], hidden.shape[-1] // self.heads)
        for block in self.blocks:
            hidden = hidden + self._attention(block, _normed(hidden, block.attention_norm), cosine, sine)
            hidden = hidden + _fed_forward(block, hidden)
        return self._following(hidden)

    def token_log_probs(self, tokens: Int[Array, " time"]) -> Float[Array, " time_less_one"]:
        """Log-prob of every token but the first, given those before it; never positive."""
        following = self.next_log_probs(tokens)[:-1]
        return jnp.take_along_axis(following, tokens[1:, None], axis=1)[:, 0]

    def empty_cache(self, tokens: int) -> Cache:
        """Room for a text of so many tokens."""
        shape = (len(self.blocks), tokens, self.head.shape[-2])
        return Cache(jnp.zeros(shape), jnp.zeros(shape), jnp.zeros((), jnp.int32))

    def step(self, token: Int[Array, ""], cache: Cache) -> tuple[Float[Array, " vocabulary"], Cache]:
        """Log-probs of the token after this one, and the cache with this one in it; tokens past its room are lost."""
        hidden = jnp.asarray(self.embedding)[token]
        tokens, size = cache.key.shape[-2], hidden.shape[-1] // self.heads
        cosine, sine = (table[0] for table in _rotations_at(cache.place[None], size))
        here, seen = jnp.arange(tokens) == cache.place, jnp.arange(tokens) <= cache.place
        keys, values = [], []
        for layer, block in enumerate(self.blocks):
            query, key, value = self._projected(block, _normed(hidden, block.attention_norm))
            query, key = (_rotated(one, cosine, sine) for one in (query, key))
            keys.append(jnp.where(here[:, None], key.reshape(-1), cache.key[layer]))
            values.append(jnp.where(here[:, None], value.reshape(-1), cache.value[layer]))
            held_keys, held_values = (leaf.reshape(tokens, self.heads, size) for leaf in (keys[-1], values[-1]))
            hidden = hidden + _attended(query, held_keys, held_values, seen) @ block.out
            hidden = hidden + _fed_forward(block, hidden)
        return self._following(hidden), Cache(jnp.stack(keys), jnp.stack(values), cache.place + 1)

    def _following(self, hidden: Float[Array, "*any width"]) -> Float[Array, "*any vocabulary"]:
        """Log-probs of every token from the last block's output."""
        return jax.nn.log_softmax(_normed(hidden, self.norm) @ self.head)

    def _projected(
        self, block: Block, x: Float[Array, "*any width"]
    ) -> tuple[Float[Array, "*any head size"], Float[Array, "*any head size"], Float[Array, "*any head size"]]:
        """Query, key and value of each head, not turned yet."""
        query, key, value = (
            (x @ kernel).reshape(*x.shape[:-1], self.heads, -1) for kernel in (block.query, block.key, block.value)
        )
        return query, key, value

    def _attention(
        self, block: Block, x: Float[Array, "time width"], cosine: Array, sine: Array
    ) -> Float[Array, "time width"]:
        time, width = x.shape
        size = width // self.heads
        query, key, value = (one.transpose(1, 0, 2) for one in self._projected(block, x))
        query, key = (_rotated(one, cosine, sine) for one in (query, key))
        scores = query @ key.transpose(0, 2, 1) / jnp.sqrt(jnp.float32(size))
        causal = jnp.tril(jnp.ones((time, time), bool))
        weights = jax.nn.softmax(jnp.where(causal, scores, -jnp.inf))
        return (weights @ value).transpose(1, 0, 2).reshape(time, width) @ block.out


def new_transformer(sizes: TransformerSizes, *, key: PRNGKeyArray) -> Transformer:
    """Fresh weights: normal with deviation 0.02, norms 1."""

    def normal(number: int, *shape: int) -> Float[Array, "..."]:
        return 0.02 * jax.random.normal(jax.random.fold_in(key, number), shape)

    width, hidden = sizes.width, sizes.feed_forward

    def block(first: int) -> Block:
        return Block(
            attention_norm=jnp.ones(width), query=normal(first, width, width), key=normal(first + 1, width, width),
            value=normal(first + 2, width, width), out=normal(first + 3, width, width),
            feed_forward_norm=jnp.ones(width), gate=normal(first + 4, width, hidden),
            up=normal(first + 5, width, hidden), down=normal(first + 6, hidden, width),
        )  # fmt: skip

    blocks = tuple(block(10 * layer) for layer in range(1, sizes.layers + 1))
    embedding, head = normal(0, sizes.vocabulary, width), normal(1, width, sizes.vocabulary)
    return Transformer(embedding, blocks, jnp.ones(width), head, sizes.heads)


def _fed_forward(block: Block, hidden: Float[Array, "*any width"]) -> Float[Array, "*any width"]:
    """What the feed-forward part of a block adds."""
    inner = _normed(hidden, block.feed_forward_norm)
    return (jax.nn.silu(inner @ block.gate) * (inner @ block.up)) @ block.down


def _attended(
    query: Float[Array, "head size"],
    key: Float[Array, "token head size"],
    value: Float[Array, "token head size"],
    seen: Bool[Array, " token"],
) -> Float[Array, " width"]:
    """What one token takes from those that it sees."""
    scores = jnp.einsum("hs,ths->ht", query, key) / jnp.sqrt(jnp.float32(query.shape[-1]))
    weights = jax.nn.softmax(jnp.where(seen, scores, -jnp.inf))
    return jnp.einsum("ht,ths->hs", weights, value).reshape(-1)


def _normed(x: Float[Array, "*any width"], scale: AnyArray) -> Float[Array, "*any width"]:
    return x * jax.lax.rsqrt(jnp.mean(jnp.square(x), -1, keepdims=True) + NORM_EPSILON) * scale


def _rotations(time: int, size: int) -> tuple[Float[Array, "time size"], Float[Array, "time size"]]:
    """Cosine and sine of the angles of the first positions."""
    return _rotations_at(jnp.arange(time), size)


def _rotations_at(place: Int[Array, " time"], size: int) -> tuple[Float[Array, "time size"], Float[Array, "time size"]]:
    """Cosine and sine of each position's angles, the first half of a head's dimensions repeated as its second."""
    frequency = ROTARY_BASE ** (-jnp.arange(0, size, 2) / size)
    angle = jnp.outer(place, frequency)
    doubled = jnp.concatenate([angle, angle], axis=-1)
    return jnp.cos(doubled), jnp.sin(doubled)


def _rotated(x: Float[Array, "*any size"], cosine: Array, sine: Array) -> Float[Array, "*any size"]:
    first, second = jnp.split(x, 2, axis=-1)
    return x * cosine + jnp.concatenate([-second, first], axis=-1) * sine
