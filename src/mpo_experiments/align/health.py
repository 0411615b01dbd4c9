"""Whether a preference run is going wrong: a callback for TRL's DPO trainers, ours among them.

The question asked most about such runs: accuracy and margins rise while the log-probs of *both* sides fall, and the
text gets worse (likelihood displacement: Razin et al. 2024, arXiv 2410.08847).
"""

import dataclasses
import logging
from collections.abc import Callable, Sequence

from adapters.torch.pair_watch import SIDES, PairWatch

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


class PreferenceHealth(PairWatch):
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
        super().__init__(rows, prompts, answer_tokens)
        self._settings = settings or HealthSettings()
        self._warn = warn or logging.getLogger(__name__).warning
        self._first: dict[str, float] = {}
        self._best = 0.0
        """The highest `health/chosen` so far."""
        self._in_a_row: dict[str, int] = {}
        self.warnings: list[tuple[int, str]] = []
        """Update and text of those given so far."""

    def look(self, now: dict[str, float], start: dict[str, float], update: int) -> dict[str, float]:
        """Changes of one line of training metrics; warns of what has lasted."""
        self._first = self._first or now | start
        added = self._changes(now)
        self._judge(self._faults(now, added), update)
        return added

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
