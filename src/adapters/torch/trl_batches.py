"""Batches of pairs for TRL's trainer: with margins, numbers of rows and what is scored; and a model that is none."""

import dataclasses
from typing import Any

import torch
from trl.trainer.dpo_trainer import DataCollatorForPreference
from trl.trainer.utils import pad

OURS = ("margin", "row_number")
"""What is in a batch and TRL does not know."""
COLUMNS = ("margin", "row_number", "chosen_scored", "rejected_scored")
"""Of data that `PairCollator` reads beside TRL's."""


@dataclasses.dataclass
class PairCollator(DataCollatorForPreference):
    """TRL's collator; tokens that are not scored are taken out of `completion_mask`."""

    margins: bool = False
    """Whether the objective reads the column `margin`."""

    def torch_call(self, examples: list[dict[str, Any]]) -> dict[str, Any]:
        """A batch, stacked as [chosen; rejected]."""
        batch = super().torch_call(examples)
        if "chosen_scored" in examples[0]:
            masks = [
                torch.tensor(self._kept([0] * len(one["prompt_ids"]) + list(one[f"{side}_scored"])))
                for side in ("chosen", "rejected")
                for one in examples
            ]
            batch["completion_mask"] = pad(
                masks, padding_value=0, padding_side="right", pad_to_multiple_of=self.pad_to_multiple_of
            )
        return with_columns(batch, examples, self.margins)

    def _kept(self, mask: list[int]) -> list[int]:
        if self.max_length is None:
            return mask
        return mask[-self.max_length :] if self.truncation_mode == "keep_end" else mask[: self.max_length]


class WithColumns:
    """A collator of a user's, whose batches are given margins and numbers of rows."""

    def __init__(self, collator: Any, margins: bool):
        self._collator, self._margins = collator, margins

    def __call__(self, examples: list[dict[str, Any]]) -> dict[str, Any]:
        return with_columns(self._collator(examples), examples, self._margins)


def with_columns(batch: dict[str, Any], examples: list[dict[str, Any]], margins: bool) -> dict[str, Any]:
    """A batch with the columns `row_number`, if there is one, and `margin`, if it is read, of its examples."""
    if margins:
        batch["margin"] = torch.tensor([float(one["margin"]) for one in examples])
    if "row_number" in examples[0]:
        batch["row_number"] = torch.tensor([one["row_number"] for one in examples])
    return batch


class NoReference(torch.nn.Module):
    """Stands where TRL wants a reference model, until it has been set up; holds nothing and computes nothing."""

    class _Config:
        def get_text_config(self) -> "NoReference._Config":
            """Itself: it has no other."""
            return self

    config = _Config()

    def forward(self, *_: Any, **__: Any) -> Any:
        """Refuses.

        Raises:
            RuntimeError: always.
        """
        raise RuntimeError("this objective reads no reference")
