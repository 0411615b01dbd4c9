"""Language policies as named tensors, and back."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from mpo_core.arrays import AnyArray
from mpo_core.policies.language import LanguagePolicy
from mpo_core.policies.transformer import Block, Transformer, TransformerSizes, new_transformer

WHOLE = ("embedding", "norm", "head")
IN_BLOCKS = ("attention_norm", "query", "key", "value", "out", "feed_forward_norm", "gate", "up", "down")


class LanguageFacts(BaseModel):
    """What the tensors of a language policy do not say."""

    model_config = ConfigDict(extra="forbid")

    heads: int = Field(ge=1)
    prompt: int = Field(ge=1)
    """Tokens of a prompt."""
    longest: int = Field(ge=1)
    """Tokens of the longest answer."""


def facts_of(policy: LanguagePolicy) -> LanguageFacts:
    """Those of a policy."""
    return LanguageFacts(heads=policy.model.heads, prompt=policy.prompt, longest=policy.longest)


def language_tensors(policy: LanguagePolicy) -> dict[str, AnyArray]:
    """Every weight by name."""
    model = policy.model
    blocks = enumerate(model.blocks)
    inner = {_in_block(place, name): getattr(block, name) for place, block in blocks for name in IN_BLOCKS}
    return {name: getattr(model, name) for name in WHOLE} | inner


def language_policy(path: Path, tensors: dict[str, np.ndarray], facts: LanguageFacts) -> LanguagePolicy:
    """The policy of these tensors.

    Raises:
        ValueError: they are not those of a language policy, or do not fit together.
    """
    layers = sum(name.endswith(".query") for name in tensors)
    names = {*WHOLE, *(_in_block(place, name) for place in range(layers) for name in IN_BLOCKS)}
    if not layers or set(tensors) != names or tensors["embedding"].ndim != 2 or tensors["blocks.0.gate"].ndim != 2:
        raise ValueError(f"{path} holds no language model: its tensors are not those of a transformer")
    vocabulary, width = tensors["embedding"].shape
    sizes = TransformerSizes(vocabulary, width, layers, facts.heads, tensors["blocks.0.gate"].shape[1])

    def fresh() -> dict[str, AnyArray]:
        model = new_transformer(sizes, key=jax.random.key(0))
        return language_tensors(LanguagePolicy(model, facts.prompt, facts.longest))

    wanted = jax.eval_shape(fresh)
    if any(tensors[name].shape != wanted[name].shape for name in names):
        raise ValueError(f"{path} holds no language model: the shapes of its tensors do not fit together")
    arrays = {name: jnp.asarray(tensor) for name, tensor in tensors.items()}
    blocks = tuple(Block(**{name: arrays[_in_block(place, name)] for name in IN_BLOCKS}) for place in range(layers))
    model = Transformer(arrays["embedding"], blocks, arrays["norm"], arrays["head"], facts.heads)
    return LanguagePolicy(model, facts.prompt, facts.longest)


def _in_block(place: int, name: str) -> str:
    return f"blocks.{place}.{name}"
