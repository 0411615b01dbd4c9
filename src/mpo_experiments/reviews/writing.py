"""Teaching a language policy by texts: prediction of the next token of reviews that a writer of the grammar wrote."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int

from mpo_core.policies.language import LanguagePolicy
from mpo_core.policies.transformer import Transformer, TransformerSizes, new_transformer
from mpo_experiments.reviews.grammar import LONGEST, PROMPTS, Writer, best_of
from mpo_experiments.reviews.settings import LanguageRecipe, Lessons
from mpo_experiments.reviews.task import PROMPT_LENGTH, PROMPT_TOKENS
from mpo_experiments.reviews.token_reward import END_ID, PAD_ID, WORDS, encode

UPDATES_A_CALL = 100


def untaught(recipe: LanguageRecipe, *, seed: int) -> LanguagePolicy:
    """A policy of fresh weights."""
    sizes = TransformerSizes(len(WORDS), recipe.width, recipe.layers, recipe.heads, recipe.feed_forward)
    return LanguagePolicy(new_transformer(sizes, key=jax.random.key(seed)), PROMPT_LENGTH, LONGEST)


def texts_of(lessons: Lessons, generator: np.random.Generator) -> Int[np.ndarray, "text token"]:
    """Prompts and reviews of a writer as tokens, filled up after the end."""
    writer = Writer(lessons.moods, lessons.on_topic, lessons.most_sentences)
    found = np.full((lessons.texts, PROMPT_LENGTH + LONGEST), PAD_ID, np.int32)
    for row in range(lessons.texts):
        place = int(generator.integers(len(PROMPTS)))
        words = [*encode(best_of(writer, PROMPTS[place], lessons.best_of, generator)), END_ID]
        found[row, :PROMPT_LENGTH] = PROMPT_TOKENS[place]
        kept = words[:LONGEST]
        found[row, PROMPT_LENGTH : PROMPT_LENGTH + len(kept)] = kept
    return found


def taught(
    policy: LanguagePolicy, lessons: Lessons, *, seed: int, progress: Callable[[int, float], None]
) -> LanguagePolicy:
    """The policy after its lessons.

    Args:
        progress: told the updates so far and the mean negative log-prob a token, every `UPDATES_A_CALL` updates.
    """
    generator = np.random.default_rng(seed)
    texts = jnp.asarray(texts_of(lessons, generator))
    optimiser = optax.adam(optax.cosine_decay_schedule(lessons.learning_rate, lessons.updates))
    state = optimiser.init(eqx.filter(policy.model, eqx.is_array))

    @jax.jit
    def updates(model: Transformer, state, index: Int[Array, "update text"]):
        def one(carry, rows):
            loss, gradient = jax.value_and_grad(_loss)(carry[0], texts[rows])
            change, state = optimiser.update(gradient, carry[1])
            return (eqx.apply_updates(carry[0], change), state), loss

        (model, state), losses = jax.lax.scan(one, (model, state), index)
        return model, state, losses.mean()

    model = policy.model
    for first in range(0, lessons.updates, UPDATES_A_CALL):
        count = min(UPDATES_A_CALL, lessons.updates - first)
        index = generator.integers(len(texts), size=(count, lessons.batch))
        model, state, loss = updates(model, state, jnp.asarray(index))
        progress(first + count, float(loss))
    return LanguagePolicy(model, policy.prompt, policy.longest)


def _loss(model: Transformer, tokens: Int[Array, "text token"]) -> Float[Array, ""]:
    """Mean negative log-prob of the tokens of the reviews, their ends included."""
    log_prob = jax.vmap(model.token_log_probs)(tokens)[:, PROMPT_LENGTH - 1 :]
    counts = tokens[:, PROMPT_LENGTH:] != PAD_ID
    return -(log_prob * counts).sum() / counts.sum()
