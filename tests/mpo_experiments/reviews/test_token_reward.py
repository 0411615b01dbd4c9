"""The reward inside a program beside the one that reads words."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mpo_experiments.reviews.grammar import LONGEST, PROMPTS, VOCABULARY, Writer, reward
from mpo_experiments.reviews.token_reward import END_ID, decode, encode, token_reward

WORTH = jax.jit(jax.vmap(token_reward))


def padded(text):
    ids = encode(text)[:LONGEST]
    return ids + [END_ID] * (LONGEST - len(ids)), len(ids)


def both(pairs):
    tokens, lengths = zip(*(padded(text) for _, text in pairs), strict=True)
    found = WORTH(jnp.asarray([encode(prompt) for prompt, _ in pairs]), jnp.asarray(tokens), jnp.asarray(lengths))
    return np.asarray(found), np.array([reward(prompt, " ".join(text.split()[:LONGEST])) for prompt, text in pairs])


def test_reviews_of_the_writer():
    generator = np.random.default_rng(0)
    prompts = generator.choice(PROMPTS, 300).tolist()
    found, wanted = both([(prompt, Writer().write(prompt, generator)) for prompt in prompts])
    np.testing.assert_allclose(found, wanted, atol=1e-5)
    assert np.ptp(wanted) > 5


def test_words_in_any_order():
    generator = np.random.default_rng(1)
    texts = [
        " ".join(generator.choice([*VOCABULARY, ".", ".", "."], generator.integers(0, LONGEST))) for _ in range(300)
    ]
    broken = [" ".join(word for word in Writer().write(PROMPTS[0], generator).split() if generator.random() > 0.05)
              for _ in range(300)]  # fmt: skip
    found, wanted = both([(PROMPTS[place % len(PROMPTS)], text) for place, text in enumerate(texts + broken)])
    np.testing.assert_allclose(found, wanted, atol=1e-5)


@pytest.mark.parametrize(
    "text",
    ["", ".", ". .", "the plot", "the story is not good .", "the story is good . the story is not good .",
     "this film is not great . this film is great", "i love this film .", "i love this film . ."],
)  # fmt: skip
def test_cases(text):
    if not set(text.split()) <= set(VOCABULARY):
        pytest.skip("a word that the grammar does not have")
    found, wanted = both([("short review of film :", text)])
    np.testing.assert_allclose(found, wanted, atol=1e-6)


def test_words_come_back():
    assert decode(np.array([*encode("the story is good ."), END_ID, END_ID])) == "the story is good ."
