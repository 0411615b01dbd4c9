"""Whether a preference run is going wrong: a callback for TRL's DPO trainers, ours among them.

The question asked most about such runs: accuracy and margins rise while the log-probs of *both* sides fall, and the
text gets worse (likelihood displacement: Razin et al. 2024, arXiv 2410.08847).
"""

import contextlib
import dataclasses
import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
import transformers

SIDES = ("chosen", "rejected")
FALLS, NARROWS, LENGTH = "fall", "narrow", "length"


@dataclasses.dataclass(frozen=True)
class HealthSettings:
    """From where on a run gets a warning. Changes are since the start; a fall is from the highest value so far."""

    least_fall: float = 0.05
    """Share of its own size by which the log-prob of the chosen side must have fallen, ..."""
    share_of_margin: float = 0.1
    """... and what this fall comes to beside the margin won: a dip beside a large margin is usual."""
    least_rise: float = 0.02
    """By how much accuracy must have risen meanwhile, unless it is `high_accuracy` already."""
    high_accuracy: float = 0.95
    least_entropy: float = 0.3
    """Share of the first entropy under which the policy is narrow."""
    most_length_drift: float = 0.5
    """Relative change of the length of answers, ..."""
    least_drift_tokens: float = 8.0
    """... if it is as many tokens."""
    logs: int = 2
    """Logs in a row that must show a fault."""


class PreferenceHealth(transformers.TrainerCallback):
    """Logs how far the log-probs of both sides have moved since the first log, and warns early.

    Added to every line of training metrics, and so to `log_history` and whatever reports it: `health/chosen` and
    `health/rejected`, the change of each side's log-prob (nats a response); `health/entropy`, the entropy of a token as
    a share of the first; with prompts, `health/answer_length`, tokens of greedy answers to them. Log-probs are those of
    the same few rows every time, the first of the training data, since start: batches differ by more than a run moves
    them. Where the rows cannot be had (streamed data) they are the logged ones, since the first log. Nothing draws
    random numbers: training stays the same to the bit.

    `trainer.add_callback(PreferenceHealth())`, before training. Callbacks that report come after it in
    `callbacks=[PreferenceHealth(), ...]`.
    """

    def __init__(
        self,
        settings: HealthSettings | None = None,
        warn: Callable[[str], None] | None = None,
        *,
        rows: int = 16,
        prompts: Sequence[str] = (),
        answer_tokens: int = 64,
    ):
        """A callback for one run.

        Args:
            settings: when to warn.
            warn: told each warning, once a kind; the logger of this module unless given.
            rows: how many are scored at every log; 0: the logged numbers are used.
            prompts: a few, whose answers are measured at every log; none: no lengths are.
            answer_tokens: at most, of an answer.
        """
        self._settings = settings or HealthSettings()
        self._warn = warn or logging.getLogger(__name__).warning
        self._rows, self._prompts, self._answer_tokens = rows, list(prompts), answer_tokens
        self._batches: list[dict[str, Any]] = []
        self._first: dict[str, float] = {}
        self._start: dict[str, float] = {}
        self._best = 0.0
        """The highest `health/chosen` so far."""
        self._in_a_row: dict[str, int] = {}
        self.warnings: list[tuple[int, str]] = []
        """Update and text of those given so far."""

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
            sides = _side_log_probs(more["model"], self._batches)
            now |= {f"logps/{side}": value for side, value in sides.items()}
        length = self._answer_length(more.get("model"), more.get("processing_class"))
        if length is not None:
            now["answer_length"] = length
        self._first = self._first or now | {f"logps/{side}": value for side, value in self._start.items()}
        added = self._changes(now)
        logs.update(added)
        if state.log_history and state.log_history[-1].get("step") == state.global_step:
            state.log_history[-1].update(added)
        self._judge(self._faults(now, added), state.global_step)

    def _changes(self, now: dict[str, float]) -> dict[str, float]:
        first = self._first
        found = {f"health/{side}": now[f"logps/{side}"] - first[f"logps/{side}"] for side in SIDES}
        if first.get("entropy") and "entropy" in now:
            found["health/entropy"] = now["entropy"] / first["entropy"]
        if "answer_length" in now:
            found["health/answer_length"] = now["answer_length"]
        return found

    def _faults(self, now: dict[str, float], added: dict[str, float]) -> dict[str, str]:
        """What is wrong now, a text a kind."""
        limits, found = self._settings, {}
        self._best = max(self._best, added["health/chosen"])
        fall, margin = self._best - added["health/chosen"], added["health/chosen"] - added["health/rejected"]
        accuracy, before = (line.get("rewards/accuracies", 0.0) for line in (now, self._first))
        rises = accuracy - before >= limits.least_rise or accuracy >= limits.high_accuracy
        size = abs(self._first["logps/chosen"])
        if rises and fall > limits.least_fall * size and fall > limits.share_of_margin * max(margin, 0.0):
            found[FALLS] = (
                f"the chosen responses have lost {fall:.1f} nats of log-prob ({fall / size:.0%}) while accuracy went "
                f"from {before:.2f} to {accuracy:.2f}: both sides are pushed down, the margin alone grows; lower the "
                "learning rate, raise beta, or take a loss with a term for the chosen side (orpo, cpo, tempo)"
            )
        if added.get("health/entropy", 1.0) < limits.least_entropy:
            found[NARROWS] = f"the entropy of a token is {added['health/entropy']:.0%} of what it was at first"
        if "answer_length" in now:
            first = self._first["answer_length"]
            drift = abs(now["answer_length"] - first)
            if drift > max(limits.most_length_drift * first, limits.least_drift_tokens):
                found[LENGTH] = f"answers went from {first:.0f} to {now['answer_length']:.0f} tokens"
        return found

    def _judge(self, faults: dict[str, str], step: int) -> None:
        """Warns of what has lasted for some logs, once a kind."""
        for kind in (FALLS, NARROWS, LENGTH):
            self._in_a_row[kind] = self._in_a_row.get(kind, 0) + 1 if kind in faults else 0
            if self._in_a_row[kind] == self._settings.logs and not self._told(kind):
                text = f"update {step}: {faults[kind]}"
                self._in_a_row[f"told {kind}"] = 1
                self.warnings.append((step, text))
                self._warn(text)

    def _told(self, kind: str) -> bool:
        return f"told {kind}" in self._in_a_row

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
    return dict(zip(SIDES, means, strict=True))


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
