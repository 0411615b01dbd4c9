"""The language policy as a learner: whole texts at once, prompt and answer side by side."""

import dataclasses
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Int

from mpo_core.data.rows import PreferenceRows
from mpo_core.memory import rows_at_once
from mpo_core.policies.language import LanguagePolicy
from mpo_core.policies.transformer import Transformer
from mpo_core.settings import Products, UnusableSetting
from mpo_core.training.learner import RowFacts, UnitIndex, row_facts

LEAST_ROWS = 16
"""Whose log-probs are computed together: texts are short, even CPUs take some at once."""


class PreparedTexts(eqx.Module):
    """What updates read of the rows of some units."""

    tokens: Int[Array, "*unit row side token"]
    """Prompt, then answer."""
    alive: Float[Array, "*unit row side time"]
    """1 for the tokens of the answer, its end included."""
    facts: RowFacts


def prepared_texts(policy: LanguagePolicy, rows: PreferenceRows) -> PreparedTexts:
    """Rows with a leading unit axis as updates of a language policy read them."""
    prompt = jnp.asarray(rows.observation)[..., 0, : policy.prompt].astype(jnp.int32)
    answer = jnp.asarray(rows.action)[..., 0].astype(jnp.int32)
    facts = jax.vmap(row_facts)(jax.tree.map(jnp.asarray, rows))
    return PreparedTexts(jnp.concatenate([prompt, answer], -1), jnp.asarray(rows.alive), facts)


@dataclasses.dataclass(frozen=True)
class LanguageLearner:
    """A language policy on one unit of texts that are held once for all units (see `Learner`).

    Args:
        original: where training starts.
        prepared: texts of all units.
        unit: the one that it is trained on.
        products: how matrix products are computed; here always by XLA, and never in bfloat16.

    Raises:
        UnusableSetting: other products are asked for.
    """

    original: LanguagePolicy
    prepared: PreparedTexts
    unit: UnitIndex
    products: Products

    def __post_init__(self):
        if self.products.precision == "bfloat16" or self.products.kernel == "pallas":
            raise UnusableSetting("language models train with inner.precision 'default' or 'highest' and kernel 'xla'")

    @property
    def rows(self) -> int:
        """Of the unit."""
        return self.prepared.facts.rows

    @property
    def start(self) -> Float[Array, " parameter"]:
        """All weights of the transformer."""
        return ravel_pytree(self.original.model)[0]

    def log_probs(self, vector: Float[Array, " parameter"], index: Int[Array, " row"]) -> Float[Array, "row side"]:
        """Sums of token log-probs of the answers of some rows, given their prompts."""
        texts, unit = self.prepared, self.unit
        with jax.default_matmul_precision("highest" if self.products.precision == "highest" else None):
            return _answer_log_probs(self._model(vector), texts.tokens[unit, index], texts.alive[unit, index])

    def all_log_probs(self, vector: Float[Array, " parameter"]) -> Float[Array, "row side"]:
        """The same of all rows, without gradient; some rows at a time."""
        at_once = max(rows_at_once(2 * self.prepared.tokens.shape[-1], self.rows), min(LEAST_ROWS, self.rows))
        found = jax.lax.map(lambda row: self.log_probs(vector, row[None])[0], jnp.arange(self.rows), batch_size=at_once)
        return jax.lax.stop_gradient(found)

    def facts(self, index: Int[Array, " row"]) -> RowFacts:
        """What else is known of some rows."""
        return self.prepared.facts.of(self.unit, index)

    def policy(self, vector: Float[Array, " parameter"]) -> LanguagePolicy:
        """The policy with these weights."""
        return dataclasses.replace(self.original, model=self._model(vector))

    def _model(self, vector: Array) -> Transformer:
        return ravel_pytree(self.original.model)[1](vector)


def _answer_log_probs(
    model: Transformer, tokens: Int[Array, "row side token"], alive: Float[Array, "row side time"]
) -> Float[Array, "row side"]:
    time = alive.shape[-1]
    each = jax.vmap(jax.vmap(partial(Transformer.token_log_probs, model)))(tokens)
    return (each[..., -time:] * alive).sum(-1)
