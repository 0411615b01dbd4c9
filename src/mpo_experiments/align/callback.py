"""What a trainer tells while it runs."""

import json
from pathlib import Path
from typing import Any

import transformers

from adapters.storage.files import write_whole
from mpo_experiments.progress import Reporter

SHOWN = ("loss", "rewards/accuracies", "rewards/margins", "eval_rewards/accuracies", "eval_rewards/margins")


class ReporterCallback(transformers.TrainerCallback):
    """Tells a reporter how far training is, and keeps metrics.jsonl, whole every time: no line is there twice."""

    def __init__(self, reporter: Reporter, path: Path):
        self._reporter, self._path, self._noted = reporter, path, 0.0

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """The bar begins where the checkpoint is."""
        self._reporter.stage("training", state.max_steps, "update", state.global_step)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """One further."""
        self._reporter.advance(1)

    def on_log(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """A line in the file; on the screen one every tenth of the run, and every evaluation."""
        if not state.is_world_process_zero:
            return
        lines = "".join(f"{json.dumps(line)}\n" for line in state.log_history)
        write_whole(self._path, lines.encode())
        last, done = state.log_history[-1], state.global_step / max(state.max_steps, 1)
        told = [f"{name} {last[name]:.4g}" for name in SHOWN if name in last]
        if told and ("eval_loss" in last or done >= self._noted):
            self._noted = done + 0.1
            self._reporter.note(f"  update {state.global_step}: {', '.join(told)}")
