"""What a review is worth, computed on token ids inside a JAX program; the same numbers as `grammar.reward`."""

import functools

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from mpo_experiments.reviews.grammar import (
    CLASS_OF_WORD,
    PRICE_OF_A_WORD,
    SENTENCES,
    SIGN_OF_WORD,
    VOCABULARY,
    WORDS_WANTED,
)

PAD, END = "<pad>", "</s>"
PAD_ID, END_ID = 0, 1
WORDS = (PAD, END, *VOCABULARY)
"""Every token, by its id."""
ID_OF = {word: number for number, word in enumerate(WORDS)}
LONGEST_FORM = max(map(len, SENTENCES))


def encode(text: str) -> list[int]:
    """The ids of a text's words.

    Raises:
        KeyError: a word that no review or prompt may hold.
    """
    return [ID_OF[word] for word in text.split()]


def decode(tokens: Int[np.ndarray, " time"]) -> str:
    """The words before the end."""
    words = [WORDS[token] for token in tokens]
    return " ".join(words[: words.index(END)] if END in words else words)


def token_reward(
    prompt: Int[Array, " prompt"], tokens: Int[Array, " time"], length: Int[Array, ""]
) -> Float[Array, ""]:
    """The reward of a review.

    Args:
        prompt: its ids, `SIZE review of TOPIC :`.
        tokens: ids of the review; those from `length` on do not count.
        length: words of the review, its end left out.
    """
    signs, slots, wanted = _tables()
    place = jnp.arange(tokens.shape[0])
    tokens = jnp.where(place < length, tokens, PAD_ID)
    stops = tokens == ID_OF["."]
    starts = (place == 0) | jnp.roll(stops, 1).at[0].set(False)
    size = _sentence_sizes(tokens, slots) * starts  # words of the well-formed sentence that starts here, else 0
    counted = jnp.zeros(tokens.shape, bool)
    for offset in range(LONGEST_FORM):
        counted |= jnp.roll(size, offset).at[:offset].set(0) > offset
    negated = jnp.roll(tokens == ID_OF["not"], 1).at[0].set(False)
    first = counted & ~_came_before(tokens, counted)
    worth = jnp.where(first, signs[tokens] * jnp.where(negated, -1.0, 1.0), 0.0).sum()
    on_topic = (counted & (tokens == prompt[-2])).any()
    last_stop = jnp.where(stops, place, -1).max()
    broken = stops.sum() - (size > 0).sum() + (last_stop < length - 1)
    return worth + on_topic - broken - PRICE_OF_A_WORD * jnp.abs(length - wanted[prompt[0]])


def _came_before(tokens: Int[Array, " time"], counted: Array) -> Array:
    """Whether the word of each place stands at an earlier place that counts."""
    same = (tokens[:, None] == tokens[None, :]) & counted[None, :]
    return jnp.tril(same, -1).any(1)


def _sentence_sizes(tokens: Int[Array, " time"], slots: Int[Array, " word"]) -> Int[Array, " time"]:
    """Of a sentence that starts at each place and that the grammar has, its words without the full stop; else 0."""
    padded = jnp.concatenate([tokens, jnp.full(LONGEST_FORM + 1, PAD_ID)])
    found = jnp.zeros(tokens.shape, jnp.int32)
    for form in _forms():
        fits = jnp.ones(tokens.shape, bool)
        for offset, slot in enumerate((*form, _slot_numbers()["."])):
            fits &= slots[padded[offset : offset + len(tokens)]] == slot
        found = jnp.where(fits, len(form), found)
    return found


@functools.cache
def _slot_numbers() -> dict[str, int]:
    """A number for every slot of the grammar and every word that is its own slot."""
    names = dict.fromkeys(CLASS_OF_WORD.get(word, word) for word in WORDS)
    return {name: number for number, name in enumerate(names)}


@functools.cache
def _forms() -> tuple[tuple[int, ...], ...]:
    numbers = _slot_numbers()
    return tuple(tuple(numbers[slot] for slot in form) for form in SENTENCES)


def _tables() -> tuple[Float[Array, " word"], Int[Array, " word"], Int[Array, " word"]]:
    """By word: its sign, its slot, and the length that it asks for as the first of a prompt."""
    numbers = _slot_numbers()
    signs = np.array([SIGN_OF_WORD.get(word, 0) for word in WORDS], np.float32)
    slots = np.array([numbers[CLASS_OF_WORD.get(word, word)] for word in WORDS], np.int32)
    wanted = np.array([WORDS_WANTED.get(word, 0) for word in WORDS], np.int32)
    return jnp.asarray(signs), jnp.asarray(slots), jnp.asarray(wanted)
