"""Where the numbers of a run go: TensorBoard always, and whatever else was asked for."""

import contextlib
from pathlib import Path
from typing import Any, Literal, Protocol, get_args

from adapters.logging.tensorboard import ScalarLog
from adapters.logging.wandb import WandbLog, check_wandb
from mpo_core.names import unknown_name

LogName = Literal["tensorboard", "wandb"]
LOGS: tuple[LogName, ...] = get_args(LogName)


class Sink(Protocol):
    """Something that takes numbers by tag, step by step."""

    def write_scalars(self, step: int, values: dict[str, float | None]) -> None:
        """Numbers by tag at a step; None is left out."""
        ...


class Scalars(contextlib.ExitStack):
    """The sinks of a run, opened together; closed at the end of the `with` block.

    Args:
        folder: the run's own: TensorBoard's files go to `tensorboard/` in it.
        log: one of `LOGS`.
        first: step at which a resumed run goes on.
        config: its settings, for sinks that show them.

    Raises:
        WorkFailed: one sentence: a sink cannot be opened.
    """

    def __init__(self, folder: Path, log: str, *, first: int = 0, config: dict[str, Any] | None = None):
        super().__init__()
        self._sinks: list[Sink] = [self.enter_context(ScalarLog(folder / "tensorboard", first))]
        if log == "wandb":
            self._sinks.append(self.enter_context(WandbLog(folder, config or {})))

    def write_scalars(self, step: int, values: dict[str, float | None]) -> None:
        """To every sink."""
        for sink in self._sinks:
            sink.write_scalars(step, values)

    def write(self, record: dict[str, Any]) -> None:
        """A generation of a search: one scalar a number, under `search/`."""
        values = {f"search/{name}": record[name] for name in record if name != "generation"}
        self.write_scalars(record["generation"], values)


def check_log(log: str) -> None:
    """Refuses a log that there is none of, before any work.

    Raises:
        ValueError: one sentence: no such log, or not installed.
    """
    if log not in LOGS:
        raise unknown_name("log", log, LOGS)
    if log == "wandb":
        check_wandb()
