"""What a trainer tells while it runs."""

import json
from pathlib import Path
from typing import Any

from adapters.storage.files import write_whole
from adapters.torch.trl_callbacks import RunWatcher
from mpo_experiments.progress import Reporter

SHOWN = ("loss", "rewards/accuracies", "rewards/margins", "eval_rewards/accuracies", "eval_rewards/margins")


def watcher(reporter: Reporter, path: Path) -> RunWatcher:
    """Tells a reporter how far training is, and keeps metrics.jsonl."""
    return RunWatcher(
        begins=lambda updates, done: reporter.stage("training", updates, "update", done),
        advances=reporter.advance,
        logs=_Metrics(reporter, path).write,
    )


class _Metrics:
    """The file of metrics, whole every time: no line is there twice."""

    def __init__(self, reporter: Reporter, path: Path):
        self._reporter, self._path, self._noted = reporter, path, 0.0

    def write(self, lines: list[dict[str, Any]], done: float) -> None:
        """Every line; on the screen one every tenth of the run, and every evaluation."""
        write_whole(self._path, "".join(f"{json.dumps(line)}\n" for line in lines).encode())
        last = lines[-1]
        told = [f"{name} {last[name]:.4g}" for name in SHOWN if name in last]
        if told and ("eval_loss" in last or done >= self._noted):
            self._noted = done + 0.1
            self._reporter.note(f"  update {last['step']}: {', '.join(told)}")
