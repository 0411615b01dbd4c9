"""What a language model says of the pairs: the log-probs of both sides, their heaps and margins."""

import dataclasses
from typing import Any

import numpy as np
from jaxtyping import Float

from adapters.torch.language_models import TokenEncoder, check_model, load_tokenizer, set_chat_template
from adapters.torch.preference_text import TextRows
from mpo_experiments.align.conversations import template_words
from mpo_experiments.align.evaluation import load_plain, score_pairs
from mpo_experiments.align.pairs import PairRule, Pairs as TokenPairs, holds_talk, read_pairs as read_token_pairs
from mpo_experiments.align.preference_rows import RowRule
from mpo_experiments.align.settings import AlignSettings
from mpo_experiments.align.token_rows import TokenRule
from mpo_experiments.diagnose.label_noise import NoiseEstimate
from mpo_experiments.diagnose.mixtures import Heaps, MirroredHeap, heaps, mirrored_heap
from mpo_experiments.progress import Reporter

STANDARD_ERRORS = 1.96


@dataclasses.dataclass(frozen=True)
class ModelView:
    """Mean token log-probs under a model, in nats, and what lies in them."""

    chosen: Float[np.ndarray, " pair"]
    rejected: Float[np.ndarray, " pair"]
    heaps: Heaps
    """Of both sides together."""
    margin: MirroredHeap
    accuracy: float
    """Share of pairs whose chosen response is the likelier one, a token."""

    @property
    def both_own(self) -> float | None:
        """Share of pairs in which both sides are of the higher heap, the model's own; None where there is one heap."""
        if len(self.heaps.means) == 1:
            return None
        sides = self.heaps.belongs_to_first(np.stack([self.chosen, self.rejected]))
        return float((sides[0] * sides[1]).mean())

    def noise(self) -> NoiseEstimate | None:
        """Flipped labels, from margins of the wrong sign; None where two mirrored heaps cannot be told apart."""
        if not self.margin.clear:
            return None
        share = self.margin.wrong
        error = STANDARD_ERRORS * float(np.sqrt(share * (1 - share) / len(self.chosen)))
        return NoiseEstimate(
            "margins of the wrong sign", min(share, 1 - share), max(0.0, min(share, 1 - share) - error),
            min(share, 1 - share) + error,
            "margins of rightly labelled pairs are one heap on one side of zero, and most labels are right",
        )  # fmt: skip


def view(chosen: Float[np.ndarray, " pair"], rejected: Float[np.ndarray, " pair"]) -> ModelView:
    """From the mean token log-probs of both sides."""
    return ModelView(
        chosen, rejected, heaps(np.concatenate([chosen, rejected])), mirrored_heap(chosen - rejected),
        float((chosen > rejected).mean()),
    )  # fmt: skip


def check(model: str, rows: TextRows) -> Any:
    """The tokenizer of a model, ready for these rows; costs nothing.

    Raises:
        ValueError: one sentence: no such model, no causal language model, or none with a template for conversations.
    """
    check_model(model)
    tokenizer = load_tokenizer(model)
    if holds_talk(rows):
        set_chat_template(tokenizer, None, model)
    return tokenizer


def in_tokens(rows: TextRows, tokenizer: Any, max_length: int) -> TokenPairs:
    """Pairs as training takes them: without ties, and without rows whose prompt alone fills the length.

    Raises:
        ValueError: one sentence: no pair is left.
    """
    rule = PairRule(RowRule(template_words=template_words(tokenizer.chat_template)), TokenRule(max_length))
    return read_token_pairs(rows, rows.where, TokenEncoder(tokenizer), rule)


def model_view(
    model: str, pairs: TokenPairs, tokenizer: Any, max_length: int, batch: int, reporter: Reporter
) -> ModelView:
    """Scores pairs under a model.

    Raises:
        WorkFailed: weights that cannot be loaded, or log-probs that are not finite.
    """
    settings = AlignSettings(model=model, dataset="-", max_length=max_length, batch=batch, micro_batch=batch)
    scores = score_pairs(load_plain(model), settings, tokenizer, pairs, reporter)
    return view(scores.chosen / scores.chosen_length, scores.rejected / scores.rejected_length)
