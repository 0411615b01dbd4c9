"""TRL's `DPOTrainer` with any objective of ours in place of its losses.

`compute_loss` is overridden, the hook that TRL documents (https://github.com/huggingface/trl/pull/6918). It takes the
same way to the log-probs as TRL's own, its fused language-model head, which builds no logits, and writes to the same
metrics; both are private, which is why the extra pins `trl<2` and a test compares every logged name. Data that are
tokens already are taken as they are, and a step that is not finite ends training.
"""

import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers
from accelerate.utils import is_peft_model
from datasets import Dataset
from trl.trainer.dpo_config import DPOConfig
from trl.trainer.dpo_trainer import DPOTrainer

from adapters.torch.language_models import check_special_tokens
from adapters.torch.torch_loss import TorchLoss
from adapters.torch.trl_batches import COLUMNS, OURS, NoReference, PairCollator, WithColumns
from adapters.torch.trl_settings import check_adapter, settled_arguments
from mpo_core.failures import WorkFailed

NOT_THE_MODELS = ("completion_mask", "ref_chosen_logps", "ref_rejected_logps", *OURS)
"""What is in a batch and no argument of the model."""
REFERENCE = "ref"
"""TRL's name of the copy of an adapter that is trained further."""
Prepare = Callable[[Dataset, Any, DPOConfig, str], Dataset]


class LossTrainer(DPOTrainer):
    """Trains a causal language model on preference pairs with an objective of ours.

    Everything of `trl.DPOTrainer` works as it does there: LoRA, gradient accumulation, precomputed reference log-probs,
    evaluation, checkpoints, logging. Differences: the loss, with its progress = updates made / `max_steps`; an
    objective that reads no reference makes none and runs none; `rewards/...` are on the scale of the objective's own
    `beta` (`args.beta` if it has none) and, where there is no reference, are of the log-probs themselves: of a token's
    mean if the objective reads lengths, as in TRL's SimPO, else of the sum; ties count half in `rewards/accuracies`.
    """

    _tag_names, _paper = ["trl", "mirror-po"], {}  # of model cards: TRL's own would call every model one of DPO's

    def __init__(
        self,
        model: Any,
        ref_model: Any = None,
        args: DPOConfig | None = None,
        *,
        loss: TorchLoss,
        prepare: Prepare | None = None,
        stops: bool = True,
        **rest: Any,
    ):
        """As for `trl.DPOTrainer`.

        Args:
            loss: the objective. One that reads margins needs a column `margin` in the data: chosen minus rejected
                reward, in standard deviations.
            prepare: makes data in text into tokens, given the data, the tokenizer, `args` and what they are for; None:
                TRL's own way. Data with a column `prompt_ids` are tokens already.
            stops: whether a loss or gradient that is not finite ends training; else it goes on, as TRL's does.
            rest: `train_dataset`, `eval_dataset`, `processing_class`, `peft_config`, `data_collator`, `callbacks` and
                so on.

        Raises:
            ValueError: one sentence: an objective that reads margins which the data does not have, settings in `args`
                that would shape a loss of TRL's, an adapter that cannot be trained, or a tokenizer that has no token
                to end a sequence.
        """
        args = settled_arguments(args, loss)
        _check_margins(loss.text, loss.needs_margin, rest.get("train_dataset"), rest.get("eval_dataset"))
        self.loss_of_rows, self._prepare_pairs, self._stops = loss, prepare, stops
        self._name = f"the objective {loss.text} of mirror-po"
        self._update, self._update_rows = -1, []
        self._copy_is_exact, self._held_out = False, {}
        adapted = not isinstance(model, str) and is_peft_model(model)
        if adapted:
            check_adapter(model)
        if not loss.needs_reference and (adapted or rest.get("peft_config") is None):
            ref_model = NoReference()  # or TRL would load one, or copy the adapter
        elif not loss.needs_reference:
            ref_model = None
        rest["processing_class"] = _tokenizer_of(model, rest.get("processing_class"), args)
        rest["data_collator"] = _collator(rest.get("data_collator"), rest["processing_class"], args, loss.needs_margin)
        super().__init__(model, ref_model, args, **rest)
        if not loss.needs_reference:
            self.ref_model = None

    @property
    def progress(self) -> float:
        """Share of all updates already made, in [0, 1)."""
        steps = max(self.state.max_steps, 1)
        return min(self.state.global_step, steps - 1) / steps

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """The mean loss of a batch of pairs, stacked as [chosen; rejected].

        Lengths are the tokens that are scored: those of the response, without any that truncation took.
        """
        del num_items_in_batch  # a mean over rows: the trainer divides by the number of batches it accumulates
        given = {name: value for name, value in inputs.items() if name not in NOT_THE_MODELS} | {"use_cache": False}
        routed = {"output_router_logits": True} if self.aux_loss_enabled else {}
        labels = inputs["input_ids"].masked_fill(inputs["completion_mask"] == 0, -100)
        outputs = model(**given, **routed, labels=labels, fused_lm_head=True)
        mask = inputs["completion_mask"][..., 1:]
        token_logps = outputs.log_probs[:, -mask.size(1) :]  # prompt tuning puts virtual tokens before the real ones
        kind = torch.promote_types(token_logps.dtype, torch.float32)
        policy = token_logps.sum(dim=1, dtype=kind).chunk(2)
        reference = self._reference(inputs, policy)
        lengths = mask.sum(dim=1).clamp(min=1).to(kind).chunk(2)
        losses = self.loss_of_rows.rows(*policy, *reference, *lengths, self.progress, inputs.get("margin"))
        self._check_rows(losses, inputs.get("row_number"))
        loss = losses.mean()
        if self.aux_loss_enabled:
            loss = loss + self.router_aux_loss_coef * outputs.aux_loss
        with torch.no_grad():
            self._log(inputs, outputs, mask, policy, reference, lengths)
            if return_outputs:  # the fused head builds no logits
                return loss, model(**given)
        return loss

    def _reference(self, inputs: Any, policy: tuple[Any, ...]) -> tuple[Any, ...]:
        """Summed log-probs of chosen and rejected under the reference; zeros where the objective reads none."""
        if not self.loss_of_rows.needs_reference:
            return tuple(torch.zeros_like(one) for one in policy)
        if self.precompute_ref_logps:
            return tuple(inputs[name].to(policy[0]) for name in ("ref_chosen_logps", "ref_rejected_logps"))
        model = self.model if self.ref_model is None else self.ref_model
        return tuple(one.to(policy[0]) for one in self.compute_ref_log_probs(model, inputs))

    def compute_ref_log_probs(self, model: Any, inputs: Any) -> Any:
        """TRL's, of a batch that may hold more than TRL knows, and without the dropout of an adapter's copy, which TRL
        makes while it sets up, and leaves as if it were trained."""
        if not self._copy_is_exact:
            without_dropout(self.model, lambda name: name.endswith(f"lora_dropout.{REFERENCE}"))
            self._copy_is_exact = True
        return super().compute_ref_log_probs(model, {name: one for name, one in inputs.items() if name not in OURS})

    def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> Any:
        """TRL's; it remembers which rows an update is made of."""
        if self._update != self.state.global_step:
            self._update, self._update_rows = self.state.global_step, []
        if "row_number" in inputs:
            self._update_rows.append(inputs["row_number"])
        return super().training_step(model, inputs, num_items_in_batch)

    def _get_grad_norm(self, model: Any, grad_norm: Any = None) -> Any:
        """The trainer's, of every update, before it is made.

        Raises:
            WorkFailed: it is not finite; it names the rows.
        """
        norm = super()._get_grad_norm(model, grad_norm=grad_norm)
        scaled = self.accelerator.scaler is not None  # in float16 a step that overflows is tried again
        if self._stops and norm is not None and not scaled and not math.isfinite(float(norm)):
            raise self._not_finite("gradient", torch.cat(self._update_rows) if self._update_rows else None)
        return norm

    def _check_rows(self, losses: Any, rows: Any) -> None:
        finite = torch.isfinite(losses.detach())
        if self._stops and not bool(finite.all()):
            raise self._not_finite("loss", None if rows is None else rows[~finite])

    def _not_finite(self, what: str, rows: Any) -> WorkFailed:
        model: Any = self.model
        kind = "the data" if model.training else "the held-out data"
        named = (
            "" if rows is None else f" (rows {', '.join(map(str, sorted(rows.tolist())))} of {kind}; the first is 1)"
        )
        where = f"update {self.state.global_step + 1}" if model.training else f"after update {self.state.global_step}"
        return WorkFailed(
            f"{where}: the {what} is not finite{named}, so training stops and no model is written: lower "
            "learning_rate, or look at these rows"
        )

    def _prepare_dataset(self, dataset: Any, processing_class: Any, args: Any, dataset_name: str) -> Any:
        """Data that are tokens already as they are; text by `prepare`, where there is one and it can be."""
        columns = getattr(dataset, "column_names", None) or ()
        if "prompt_ids" in columns:
            return dataset
        beyond = {"image", "images", "chat_template_kwargs"} & set(columns)
        tokenizer = isinstance(processing_class, transformers.PreTrainedTokenizerBase)
        if self._prepare_pairs is None or not isinstance(dataset, Dataset) or beyond or not tokenizer:
            return super()._prepare_dataset(dataset, processing_class, args, dataset_name)
        return self._prepare_pairs(dataset, processing_class, args, dataset_name)

    def _set_signature_columns_if_needed(self) -> None:
        super()._set_signature_columns_if_needed()
        known: list[str] = self._signature_columns or []
        self._signature_columns = [*known, *(name for name in COLUMNS if name not in known)]

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        """TRL's, without its copy of the adapter that training began from."""
        super()._save(output_dir, state_dict)
        copy_of_start = Path(output_dir or str(self.args.output_dir)) / REFERENCE
        if self.args.should_save and (copy_of_start / "adapter_config.json").exists():
            shutil.rmtree(copy_of_start)

    def _log(self, inputs: Any, outputs: Any, mask: Any, policy: Any, reference: Any, lengths: tuple[Any, ...]) -> None:
        """Metrics under TRL's names, averaged over the batches between two logs."""
        model: Any = self.model
        gather: Any = self.accelerator.gather
        mode = "train" if model.training else "eval"
        metrics = self._metrics[mode]
        kept, (chosen, rejected) = mask.bool(), mask.bool().chunk(2)
        chosen_logits, rejected_logits = outputs.mean_logits[:, -mask.size(1) :].chunk(2)
        best = outputs.is_top1[:, -mask.size(1) :].chunk(2)[0]
        sums = [
            outputs.entropy[:, -mask.size(1) :][kept].sum(), kept.sum(),
            chosen_logits[chosen].sum(), rejected_logits[rejected].sum(),
            (best & chosen).sum(), chosen.sum(), rejected.sum(), inputs["attention_mask"].sum(),
        ]  # fmt: skip
        totals = gather(torch.stack([one.float() for one in sums])[None]).sum(0).tolist()
        entropy, tokens, chosen_logit, rejected_logit, correct, chosen_tokens, rejected_tokens, seen = totals
        if mode == "train":
            self._total_train_tokens += int(seen) // (self._tp_size or 1)
        metrics["num_tokens"] = [self._total_train_tokens]
        metrics["entropy"].append(entropy / max(tokens, 1))
        metrics["logits/chosen"].append(chosen_logit / max(chosen_tokens, 1))
        metrics["logits/rejected"].append(rejected_logit / max(rejected_tokens, 1))
        metrics["mean_token_accuracy"].append(correct / max(chosen_tokens, 1))
        if self.aux_loss_enabled:
            metrics["aux_loss"].append(gather(outputs.aux_loss[None]).mean().item())
        rewards = [self.beta * self._score(*side) for side in zip(policy, reference, lengths, strict=True)]
        rows = gather(torch.stack([*rewards, *policy], dim=1))
        better, worse, chosen_logp, rejected_logp = rows.sum(0).tolist()
        found = {
            "rewards/chosen": better, "rewards/rejected": worse, "rewards/margins": better - worse,
            "rewards/accuracies": ((1 + torch.sign(rows[:, 0] - rows[:, 1])) / 2).sum().item(),
            "logps/chosen": chosen_logp, "logps/rejected": rejected_logp,
        }  # fmt: skip
        for name, total in found.items():
            self._add(mode, name, total, len(rows))

    def _add(self, mode: str, name: str, total: float, count: int) -> None:
        """A metric of rows: in training the mean of a batch, of which TRL logs the mean over batches; of held-out data,
        whose last batch may be smaller, the mean over all rows so far."""
        known = self._metrics[mode][name]
        if mode == "train":
            known.append(total / max(count, 1))
            return
        total_before, count_before = self._held_out[name] if known else (0.0, 0)  # TRL empties it with every log
        self._held_out[name] = (total_before + total, count_before + count)
        known[:] = [self._held_out[name][0] / max(self._held_out[name][1], 1)]

    def _score(self, policy: Any, reference: Any, lengths: Any) -> Any:
        if self.loss_of_rows.needs_reference:
            return policy - reference
        return policy / lengths if self.loss_of_rows.normalises_length else policy


def without_dropout(model: Any, chosen: Callable[[str], bool]) -> None:
    """Turns off the dropouts of a model whose names are chosen."""
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Dropout) and chosen(name):
            module.p = 0.0


def _tokenizer_of(model: Any, given: Any, args: DPOConfig) -> Any:
    """The tokenizer that is given, or that of the model, as TRL finds it; it must end sequences and pad."""
    found = given
    if found is None:
        name = model if isinstance(model, str) else model.config._name_or_path
        told = args.model_init_kwargs if isinstance(model, str) and isinstance(args.model_init_kwargs, dict) else {}
        found = transformers.AutoProcessor.from_pretrained(
            name, revision=told.get("revision"), trust_remote_code=args.trust_remote_code
        )
    check_special_tokens(getattr(found, "tokenizer", found))
    return found


def _collator(given: Any, tokenizer: Any, args: DPOConfig, margins: bool) -> Any:
    """Ours, or a user's with our columns; of images, TRL's own."""
    if given is not None:
        return WithColumns(given, margins)
    if not isinstance(tokenizer, transformers.PreTrainedTokenizerBase):
        return None
    if args.pad_token is not None:
        tokenizer.pad_token = args.pad_token
    padded: Any = args.pad_to_multiple_of
    pad: Any = tokenizer.pad_token_id
    return PairCollator(pad, args.max_length, args.truncation_mode, padded, margins=margins)


def _check_margins(text: str, wanted: bool, train: Any, evaluation: Any) -> None:
    """Refuses data without margins for an objective that reads them."""
    several = evaluation.values() if isinstance(evaluation, dict) else [evaluation]
    for data in [train, *several] if wanted else []:
        columns = getattr(data, "column_names", None)
        if columns is not None and "margin" not in columns:
            raise ValueError(
                f"objective {text!r} reads margins of reward and the data has no column 'margin' (it has "
                f"{', '.join(columns)}): add one, or choose an objective that reads none"
            )
