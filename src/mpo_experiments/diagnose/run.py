"""The diagnosis of a data set, with a model or without."""

import dataclasses
from typing import Any

import numpy as np

from mpo_experiments.align.conversations import MORE_KEYS, MORE_ROLES, template_words
from mpo_experiments.align.pairs import Pairs as TokenPairs, load_pair_rows
from mpo_experiments.align.preference_rows import RowRule
from mpo_experiments.diagnose.label_noise import NoiseEstimate, noise_from_duplicates, noise_from_words
from mpo_experiments.diagnose.model_view import ModelView, check, in_tokens, model_view
from mpo_experiments.diagnose.pairs import Pairs, read_pairs
from mpo_experiments.diagnose.suite import Nearest, nearest
from mpo_experiments.diagnose.text_faults import Duplicates, duplicates, length_correlation, length_difference, ties
from mpo_experiments.progress import Reporter


@dataclasses.dataclass(frozen=True)
class Request:
    """What a user asks."""

    dataset: str
    split: str = "train"
    model: str | None = None
    limit: int | None = None
    max_length: int = 1024
    batch: int = 8


@dataclasses.dataclass(frozen=True)
class Read:
    """A request whose data have been read, and no weights."""

    request: Request
    pairs: Pairs
    tokenizer: Any
    """None without a model."""
    in_tokens: TokenPairs | None


@dataclasses.dataclass(frozen=True)
class Diagnosis:
    """What was found."""

    request: Request
    pairs: int
    ties: float
    """Share of rows."""
    duplicates: Duplicates
    length_difference: float
    """Mean words of the chosen less the rejected response."""
    length_correlation: float
    dropped: float | None
    """Share of rows whose prompt alone fills `max_length`; None without a model, whose tokenizer counts."""
    cut: float | None
    noise: tuple[NoiseEstimate, ...]
    view: ModelView | None
    nearest: Nearest


ANY_TEMPLATE = frozenset((*MORE_ROLES, *MORE_KEYS))
"""Without a model there is no template that could not take a conversation."""


def read(request: Request) -> Read:
    """Reads everything but the weights.

    Raises:
        ValueError: one sentence: a data set or model that cannot be used.
    """
    rows = load_pair_rows(request.dataset, request.split).first(request.limit)
    if request.model is None:
        return Read(request, read_pairs(rows, RowRule(template_words=ANY_TEMPLATE)), None, None)
    tokenizer = check(request.model, rows)
    pairs = read_pairs(rows, RowRule(template_words=template_words(tokenizer.chat_template)))
    return Read(request, pairs, tokenizer, in_tokens(rows, tokenizer, request.max_length))


def diagnose(found: Read, reporter: Reporter) -> Diagnosis:
    """The whole diagnosis.

    Raises:
        WorkFailed: weights that cannot be loaded.
    """
    request, pairs = found.request, found.pairs
    tied = ties(pairs)
    untied = _some(pairs, ~tied)
    difference, repeated = length_difference(untied), duplicates(pairs)
    dropped = cut = view = None
    if request.model is not None and found.in_tokens is not None:
        counts = found.in_tokens.counts
        dropped, cut = counts.too_long / counts.rows, counts.cut / counts.rows
        view = model_view(request.model, found.in_tokens, found.tokenizer, request.max_length, request.batch, reporter)
    estimates = (None if view is None else view.noise(), noise_from_words(untied), noise_from_duplicates(repeated))
    noise = tuple(one for one in estimates if one is not None)
    told = next((one.share for one in noise if one.found), 0.0) if noise else None
    both_own = None if view is None else view.both_own
    return Diagnosis(
        request=request, pairs=len(pairs), ties=float(tied.mean()), duplicates=repeated,
        length_difference=float(difference.mean()) if len(difference) else 0.0,
        length_correlation=length_correlation(difference), dropped=dropped, cut=cut, noise=noise, view=view,
        nearest=nearest(told, both_own),
    )  # fmt: skip


def _some(pairs: Pairs, kept: np.ndarray) -> Pairs:
    return Pairs(*(tuple(np.array(side, object)[kept]) for side in (pairs.prompt, pairs.chosen, pairs.rejected)))
