"""The sentiment of English texts by a lexicon of rated words and rules for negation, degree and emphasis."""

import functools
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer


def sentiments(texts: Sequence[str]) -> Float[np.ndarray, " text"]:
    """The compound score of each text, from -1 (most negative) to 1; 0 where no word is in the lexicon.

    Source: Hutto and Gilbert, VADER, ICWSM 2014.
    """
    analyzer = _analyzer()
    return np.array([analyzer.polarity_scores(text)["compound"] for text in texts], float)


@functools.cache
def _analyzer() -> SentimentIntensityAnalyzer:
    return SentimentIntensityAnalyzer()
