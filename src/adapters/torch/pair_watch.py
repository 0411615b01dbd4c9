"""A callback that measures, at every log of a TRL trainer, the same few pairs and the length of a few answers."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import torch
import transformers

SIDES = ("chosen", "rejected")


class PairWatch(transformers.TrainerCallback):
    """Gives `look` the numbers of every line of training metrics, and adds what it returns to the line.

    Beside what is logged, the numbers have `logps/chosen` and `logps/rejected` of the first rows of the training data,
    the same ones every time (nats a response), and with prompts `answer_length`, tokens of greedy answers to them.
    Where the rows cannot be had (streamed data) log-probs are the logged ones. Nothing draws random numbers.
    """

    def __init__(self, rows: int, prompts: Sequence[str], answer_tokens: int):
        """A callback for one run.

        Args:
            rows: how many are scored at every log; 0: the logged numbers are used.
            prompts: a few, whose answers are measured at every log; none: no lengths are.
            answer_tokens: at most, of an answer.
        """
        self._rows, self._prompts, self._answer_tokens = rows, list(prompts), answer_tokens
        self._batches: list[dict[str, Any]] = []
        self._start: dict[str, float] = {}

    def look(self, now: dict[str, float], start: dict[str, float], update: int) -> dict[str, float]:
        """What is to be added to a line.

        Args:
            now: the line's numbers.
            start: `logps/...` before the first update, where they were measured.
            update: updates made.
        """
        raise NotImplementedError

    def on_train_begin(self, args: Any, state: Any, control: Any, **more: Any) -> None:
        """Keeps the first rows and what the model makes of them."""
        loader, model = more.get("train_dataloader"), more.get("model")
        data = getattr(loader, "dataset", None)
        if not hasattr(data, "__len__") or model is None:
            return
        batches = [loader.collate_fn([data[row]]) for row in range(min(self._rows, len(data)))]  # pyright: ignore
        if batches and all({"input_ids", "completion_mask"} <= batch.keys() for batch in batches):
            self._batches = batches
            self._start = _side_log_probs(model, self._batches)

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **more: Any) -> None:
        """Looks at one line of training metrics and adds to it; other lines are left alone."""
        if logs is None or any(f"logps/{side}" not in logs for side in SIDES):
            return
        now = {name: float(value) for name, value in logs.items() if isinstance(value, int | float)}
        if self._batches:
            now |= _side_log_probs(more["model"], self._batches)
        length = self._answer_length(more.get("model"), more.get("processing_class"))
        if length is not None:
            now["answer_length"] = length
        added = self.look(now, self._start, state.global_step)
        logs.update(added)
        if state.log_history and state.log_history[-1].get("step") == state.global_step:
            state.log_history[-1].update(added)

    def _answer_length(self, model: Any, tokenizer: Any) -> float | None:
        """Mean tokens of greedy answers to the prompts."""
        if not self._prompts or model is None or tokenizer is None:
            return None
        given = tokenizer(
            self._prompts, return_tensors="pt", padding=True, padding_side="left", return_token_type_ids=False
        ).to(model.device)
        with _evaluating(model):
            tokens = model.generate(
                **given, max_new_tokens=self._answer_tokens, do_sample=False, pad_token_id=tokenizer.pad_token_id
            )
        new = tokens[:, given["input_ids"].shape[1] :]
        ends = (new == tokenizer.eos_token_id) | (new == tokenizer.pad_token_id)
        return float(torch.where(ends.any(1), ends.int().argmax(1), new.shape[1]).float().mean())


def _side_log_probs(model: Any, batches: list[dict[str, Any]]) -> dict[str, float]:
    """Mean log-prob (nats) of the chosen and the rejected responses; a batch is one pair, [chosen; rejected]."""
    found = []
    with _evaluating(model):
        for batch in batches:
            names = ("input_ids", "attention_mask", "completion_mask")
            ids, attention, mask = (batch[name].to(model.device) for name in names)
            logits = model(input_ids=ids, attention_mask=attention, use_cache=False).logits[:, :-1].float()
            log_probs = logits.log_softmax(-1).gather(-1, ids[:, 1:, None])[..., 0]
            found.append((log_probs * mask[:, 1:]).sum(1))
    means = torch.stack(found).mean(0).tolist()
    return {f"logps/{side}": mean for side, mean in zip(SIDES, means, strict=True)}


@contextlib.contextmanager
def _evaluating(model: Any) -> Iterator[None]:
    """Without dropout and gradients; training goes on as it was."""
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        model.train(was_training)
