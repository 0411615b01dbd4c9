"""Reviews of the grammar and the truth of what they are worth."""

import numpy as np
import pytest

from mpo_experiments.reviews.grammar import LONGEST, PROMPTS, VOCABULARY, WORDS_WANTED, Writer, best_of, reward

SHORT, LONG = "short review of film :", "long review of film :"


@pytest.mark.parametrize(
    ("prompt", "text", "worth"),
    [
        (SHORT, "the story is good . the pace is very warm .", 2 - 0.25),
        (SHORT, "i love this film . this film is great .", 2 + 1 - 0.5),  # the topic counts once
        (SHORT, "i love this film . i love this film .", 1 + 1 - 0.5),  # and so does a word
        (SHORT, "i love this book . this book is great .", 2 - 0.5),
        (SHORT, "the story is not good . the pace is new .", -1 - 0.5 + 0.25),
        (SHORT, "the story is not bad . i hate the pace .", 1 - 1 - 0.25),
        (SHORT, "the story is good . good good good .", 1 - 1 - 0.25 * 3),  # a heap of good words is no sentence
        (SHORT, "the story is good . the pace is", 1 - 1 - 0.25 * 4),
        (SHORT, "", -3.0),
        (LONG, "", -6.0),
    ],
)
def test_the_reward_of_known_reviews(prompt, text, worth):
    assert reward(prompt, text) == pytest.approx(worth)


def test_writers_write_well_formed_reviews_of_known_words():
    generator = np.random.default_rng(0)
    for prompt in PROMPTS * 4:
        text = Writer(moods=(0.0, 0.0, 1.0)).write(prompt, generator)
        named = prompt.split()[-2] in text.split()
        expected = float(named) - 0.25 * abs(len(text.split()) - WORDS_WANTED[prompt.split()[0]])
        assert reward(prompt, text) == pytest.approx(expected)
        assert {*prompt.split(), *text.split()} <= set(VOCABULARY)
        assert len(text.split()) < LONGEST


def test_the_best_of_many_is_better():
    generator = np.random.default_rng(0)
    one, many = ([reward(SHORT, best_of(Writer(), SHORT, tries, generator)) for _ in range(40)] for tries in (1, 8))
    assert np.mean(many) > np.mean(one) + 2
