"""TRL's `DPOTrainer` with any objective of ours, by its name, on pairs as our own rule reads them."""

import functools
import warnings
from pathlib import Path
from typing import Any

from adapters.torch.language_models import TokenEncoder
from adapters.torch.preference_text import TrainingData
from adapters.torch.torch_loss import TorchLoss
from adapters.torch.trl_settings import TrainerSettings
from adapters.torch.trl_trainer import LossTrainer
from mpo_experiments.align.conversations import template_words
from mpo_experiments.align.loss import torch_loss
from mpo_experiments.align.pairs import PairRule, holds_talk, read_pairs
from mpo_experiments.align.preference_rows import RowRule
from mpo_experiments.align.token_rows import Scored, TokenRule
from mpo_experiments.objectives.named import NamedObjective, parse_objective


class ObjectiveTrainer(LossTrainer):
    """Trains a causal language model on preference pairs; all else is as for `LossTrainer`."""

    def __init__(
        self,
        model: Any,
        ref_model: Any = None,
        args: TrainerSettings | None = None,
        *,
        objective: str | Path | NamedObjective = "tempo",
        scored: Scored = "assistant",
        **rest: Any,
    ):
        """As for `trl.DPOTrainer`.

        Args:
            objective: `id`, `id:name=value,...`, an objective file or a run folder. One that reads margins needs a
                column `margin` in the data: chosen minus rejected reward, in standard deviations.
            scored: in answers of several turns, the tokens of the assistant's turns alone, or `all`, as TRL does.
            rest: `train_dataset`, `eval_dataset`, `processing_class`, `peft_config`, `callbacks` and so on.

        Raises:
            ValueError: one sentence: an objective that there is not, one that keeps a state or reads margins that the
                data does not have, rows that are no pairs, or settings in `args` that would not be honoured.
        """
        loss = torch_loss(objective if isinstance(objective, NamedObjective) else parse_objective(str(objective)))
        found = micro_batch_note(loss, 1 if args is None else args.gradient_accumulation_steps)
        if found is not None:
            warnings.warn(found, stacklevel=2)
        prepare = functools.partial(_tokens, margins=loss.needs_margin, scored=scored)
        super().__init__(model, ref_model, args, loss=loss, prepare=prepare, **rest)


def micro_batch_note(loss: TorchLoss, accumulated: int) -> str | None:
    """What to tell of an objective that compares the rows of a batch, where a batch is computed in parts."""
    if not loss.compares_rows or accumulated == 1:
        return None
    return (
        f"objective {loss.text!r} compares the rows of a batch, and each update is computed in {accumulated} parts: "
        "it sees one part at a time, so with another micro-batch it is another loss"
    )


def _tokens(
    data: TrainingData, tokenizer: Any, args: TrainerSettings, name: str, *, margins: bool, scored: Scored
) -> TrainingData:
    """Data in text as tokens; what is left out is a warning."""
    where = "train_dataset" if name == "train" else f"eval_dataset {name}".removesuffix(" eval")
    missing = [column for column in ("chosen", "rejected") if column not in data.column_names]
    if missing:
        raise ValueError(f"{where}: has no column {' or '.join(map(repr, missing))} (it has {data.column_names})")
    if holds_talk(data) and tokenizer.chat_template is None:
        raise ValueError(f"{where}: holds conversations, and the tokenizer has no chat template")
    rule = PairRule(
        RowRule(margins, template_words(tokenizer.chat_template)),
        TokenRule(args.max_length, args.truncation_mode == "keep_end", scored),
    )
    pairs = read_pairs(data, where, TokenEncoder(tokenizer), rule)
    for note in pairs.notes():
        warnings.warn(note, stacklevel=2)
    return pairs.data
