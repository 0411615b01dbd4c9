"""TRL's `DPOTrainer` with any objective of ours in place of its losses.

Only `compute_loss` is overridden, the hook that TRL documents (https://github.com/huggingface/trl/pull/6918). It takes
the same way to the log-probs as TRL's own, its fused language-model head, which builds no logits, and writes to the
same metrics; both are private, which is why the extra pins `trl<2` and a test compares every logged name.
"""

import copy
from typing import Any

import torch
from accelerate.utils import is_peft_model
from trl.trainer.dpo_config import DPOConfig
from trl.trainer.dpo_trainer import DPOTrainer

from adapters.torch.torch_loss import TorchLoss

UNUSED = {
    "loss_type": ["sigmoid"],
    "loss_weights": None,
    "ld_alpha": None,
    "f_divergence_type": "reverse_kl",
    "label_smoothing": 0.0,
    "use_weighting": False,
}
"""Settings of `DPOConfig` that shape TRL's own losses, at their defaults: here the objective alone is the loss."""
NOT_THE_MODELS = ("completion_mask", "ref_chosen_logps", "ref_rejected_logps", "margin")
"""What is in a batch and no argument of the model."""


class LossTrainer(DPOTrainer):
    """Trains a causal language model on preference pairs with an objective of ours.

    Everything of `trl.DPOTrainer` works as it does there: LoRA, gradient accumulation, precomputed reference log-probs,
    evaluation, checkpoints, logging. Differences: the loss, with its progress = updates made / `max_steps`; an
    objective that reads no reference makes none and runs none; `rewards/...` are on the scale of the objective's own
    `beta` (`args.beta` if it has none) and, where there is no reference, are of the log-probs themselves: of a token's
    mean if the objective reads lengths, as in TRL's SimPO, else of the sum.
    """

    _tag_names, _paper = ["trl", "mirror-po"], {}  # of model cards: TRL's own would call every model one of DPO's

    def __init__(
        self,
        model: Any,
        ref_model: Any = None,
        args: DPOConfig | None = None,
        *,
        loss: TorchLoss,
        train_dataset: Any = None,
        **rest: Any,
    ):
        """As for `trl.DPOTrainer`.

        Args:
            loss: the objective. One that reads margins needs a column `margin` in the data: chosen minus rejected
                reward, in standard deviations.
            rest: `eval_dataset`, `processing_class`, `peft_config`, `data_collator`, `callbacks` and so on.

        Raises:
            ValueError: one sentence: an objective that reads margins which the data does not have, or settings in
                `args` that would shape a loss of TRL's.
        """
        found = loss
        args = copy.copy(args) if args is not None else DPOConfig("ObjectiveTrainer")
        changed = [name for name, default in UNUSED.items() if getattr(args, name) != default]
        if changed:
            raise ValueError(
                f"{' and '.join(changed)} of DPOConfig: they shape TRL's own losses and are not used with objective "
                f"{found.text!r}; leave them out, and write settings into the objective, as in dpo:beta=0.05"
            )
        _check_margins(found.text, found.needs_margin, train_dataset, rest.get("eval_dataset"))
        self.loss_of_rows = found
        self._name = f"the objective {found.text} of mirror-po"
        args.beta = args.beta if found.beta is None else found.beta
        if not found.needs_reference:
            args.precompute_ref_log_probs = False
            args.sync_ref_model = False
            loaded = not isinstance(model, str) and is_peft_model(model)
            adapters = loaded or rest.get("peft_config") is not None
            ref_model = None if adapters else _NoReference()  # or TRL would load one
        super().__init__(model, ref_model, args, train_dataset=train_dataset, **rest)
        if not found.needs_reference:
            self.ref_model = None
        if found.needs_margin:
            self.args.remove_unused_columns = False
            self.data_collator = _WithMargins(self.data_collator, self.precompute_ref_logps)

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
        loss = self.loss_of_rows.rows(*policy, *reference, *lengths, self.progress, inputs.get("margin")).mean()
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
        seen = {name: value for name, value in inputs.items() if name != "margin"}
        model = self.model if self.ref_model is None else self.ref_model
        return tuple(one.to(policy[0]) for one in self.compute_ref_log_probs(model, seen))

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
        better, worse, chosen_logp, rejected_logp = rows.mean(0).tolist()
        metrics["rewards/chosen"].append(better)
        metrics["rewards/rejected"].append(worse)
        metrics["rewards/accuracies"].append((rows[:, 0] > rows[:, 1]).float().mean().item())
        metrics["rewards/margins"].append(better - worse)
        metrics["logps/chosen"].append(chosen_logp)
        metrics["logps/rejected"].append(rejected_logp)

    def _score(self, policy: Any, reference: Any, lengths: Any) -> Any:
        if self.loss_of_rows.needs_reference:
            return policy - reference
        return policy / lengths if self.loss_of_rows.normalises_length else policy


class _NoReference(torch.nn.Module):
    """Stands where TRL wants a reference model, until it has been set up; holds nothing and computes nothing."""

    class _Config:
        def get_text_config(self) -> "_NoReference._Config":
            """Itself: it has no other."""
            return self

    config = _Config()

    def forward(self, *_: Any, **__: Any) -> Any:
        """Refuses.

        Raises:
            RuntimeError: always.
        """
        raise RuntimeError("this objective reads no reference")


class _WithMargins:
    """A collator that adds the column `margin`, except where reference log-probs are still to be computed."""

    def __init__(self, collator: Any, precomputed: bool):
        self._collator, self._precomputed = collator, precomputed

    def __call__(self, examples: list[dict[str, Any]]) -> dict[str, Any]:
        batch = self._collator(examples)
        if not self._precomputed or "ref_chosen_logps" in batch:
            batch["margin"] = torch.tensor([float(example["margin"]) for example in examples])
        return batch


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
