"""What a language model says of the pairs: the log-probs of both sides, their heaps and margins."""

import dataclasses
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from adapters.torch.language_models import check_model, load_tokenizer, set_chat_template
from adapters.torch.preference_text import is_talk
from mpo_experiments.align.evaluation import load_plain, score_pairs
from mpo_experiments.align.settings import AlignSettings
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


def check(model: str, rows: Any) -> Any:
    """The tokenizer of a model, ready for these rows; costs nothing.

    Raises:
        ValueError: one sentence: no such model, no causal language model, or none with a template for conversations.
    """
    check_model(model)
    tokenizer = load_tokenizer(model)
    if is_talk(rows[0]["chosen"]):
        set_chat_template(tokenizer, None, model)
    return tokenizer


def too_long(tokenizer: Any, rows: Any, max_length: int) -> tuple[Bool[np.ndarray, " row"], Bool[np.ndarray, " row"]]:
    """Rows whose prompt alone fills the length, so that training drops them; and rows with a response that is cut."""
    prompts = np.array([_tokens(tokenizer, row["prompt"]) for row in rows])
    longest = np.array([max(_tokens(tokenizer, row[side]) for side in ("chosen", "rejected")) for row in rows])
    return prompts >= max_length, prompts + longest > max_length


def model_view(model: str, rows: Any, tokenizer: Any, max_length: int, batch: int, reporter: Reporter) -> ModelView:
    """Scores rows, none of which is to be dropped, under a model.

    Raises:
        WorkFailed: weights that cannot be loaded.
    """
    settings = AlignSettings(model=model, dataset="-", max_length=max_length, batch=batch, micro_batch=batch)
    scores = score_pairs(load_plain(model), settings, tokenizer, rows, reporter)
    return view(scores.chosen / scores.chosen_length, scores.rejected / scores.rejected_length)


def _tokens(tokenizer: Any, value: Any) -> int:
    if is_talk(value):
        return len(tokenizer.apply_chat_template(value, tokenize=True, return_dict=False)) if value else 0
    return len(tokenizer(value)["input_ids"])
