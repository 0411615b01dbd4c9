"""Callbacks of TRL's trainers: what is told of a run while it goes on, and what is done where an epoch ends."""

import dataclasses
from collections.abc import Callable
from typing import Any

import transformers


@dataclasses.dataclass(frozen=True)
class RunWatcher:
    """Whom a trainer tells how far it is."""

    begins: Callable[[int, int], None]
    """Updates of the whole run, and those made before."""
    advances: Callable[[int], None]
    logs: Callable[[list[dict[str, Any]], float], None]
    """All lines logged so far, the newest last, and the share of the run that is done; in the first process alone."""


class ProgressCallback(transformers.TrainerCallback):
    """Tells a watcher."""

    def __init__(self, watcher: RunWatcher):
        self._watcher = watcher

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Where the checkpoint is."""
        self._watcher.begins(state.max_steps, state.global_step)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """One further."""
        self._watcher.advances(1)

    def on_log(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """A line more."""
        if state.is_world_process_zero:
            self._watcher.logs(state.log_history, state.global_step / max(state.max_steps, 1))


class EpochBorders(transformers.TrainerCallback):
    """What is done where an epoch or the run ends, such that a resumed run ends at the same weights.

    Held-out pairs are scored in the last update of an epoch, before its checkpoint is written. The trainer's own way
    comes after it: a run that goes on from there would lack the scores, and the random numbers that scoring used.
    After the last update there is no checkpoint, for the model itself is written: the trainer, resumed from there,
    would make one update more where the last epoch is not whole.
    """

    def __init__(self, scored: bool):
        self._scored = scored

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """After the trainer's own choice."""
        last = state.global_step >= state.max_steps
        if self._scored and (last or state.epoch.is_integer()):
            control.should_evaluate = True
        if last:
            control.should_save = False
