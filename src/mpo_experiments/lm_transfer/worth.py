"""What an English text is worth, by program: sentiment, less repetition, less what makes it unlikely. All ours."""

import dataclasses
import itertools
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from adapters.sentiment.lexicon import sentiments
from adapters.torch.small_models import END_ID, SmallModel, SmallTokenizer, mean_log_probs

PRICE_OF_REPETITION = 1.0
"""Reward lost by a text whose every pair of neighbouring words was there before."""
PRICE_OF_A_NAT = 0.25
"""Reward lost with each nat a token that the reader finds a text less likely than texts of the corpus."""


@dataclasses.dataclass(frozen=True)
class Worth:
    """Rewards of texts and the parts they are made of."""

    sentiment: Float[np.ndarray, " text"]
    """From -1 to 1, by the lexicon of vaderSentiment."""
    repetition: Float[np.ndarray, " text"]
    """Share of the pairs of neighbouring words that the text had before."""
    unlikely: Float[np.ndarray, " text"]
    """Nats a token by which the reader finds it less likely than texts of the corpus; 0 where it does not."""

    @property
    def reward(self) -> Float[np.ndarray, " text"]:
        """Sentiment less the two prices."""
        return self.sentiment - PRICE_OF_REPETITION * self.repetition - PRICE_OF_A_NAT * self.unlikely


@dataclasses.dataclass(frozen=True)
class Reward:
    """The program that says what texts are worth."""

    tokenizer: SmallTokenizer
    reader: SmallModel
    """A language model of the corpus that shares no text with those that are trained."""
    human: float
    """Mean log-prob of a token of the corpus under it, in nats, on texts that it was not taught."""

    def worth(self, prompts: Sequence[str], texts: Sequence[list[int]]) -> Worth:
        """Of texts, as tokens after their prompts."""
        asked = self.tokenizer(list(prompts))["input_ids"]
        log_probs = mean_log_probs(self.reader, list(zip(asked, texts, strict=True)))  # pyright: ignore[reportArgumentType]
        whole = words_after(self.tokenizer, prompts, texts)
        return Worth(
            sentiments(whole), np.array([repetition(text) for text in whole]), np.maximum(self.human - log_probs, 0.0)
        )


def words_after(tokenizer: SmallTokenizer, prompts: Sequence[str], texts: Sequence[list[int]]) -> list[str]:
    """Texts as words, with their prompts."""
    bare = [text[:-1] if text[-1:] == [END_ID] else text for text in texts]
    return [prompt + rest for prompt, rest in zip(prompts, tokenizer.batch_decode(bare), strict=True)]


def repetition(text: str) -> float:
    """Share of the pairs of neighbouring words, whatever their case, that a text had before."""
    words = text.lower().split()
    pairs = list(itertools.pairwise(words))
    return 1 - len(set(pairs)) / len(pairs) if pairs else 0.0
