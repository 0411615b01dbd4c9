"""TensorBoard scalars through tensorboardX, which needs no TensorFlow."""

import contextlib
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tensorboardX.proto.event_pb2 import Event  # pyright: ignore[reportAttributeAccessIssue]

from adapters.storage.files import naming


def load_tensorboard() -> None:
    """Imports tensorboardX without torch, which it loads where it is there (two seconds), for tensors it never sees."""
    with _absent("torch"):
        import tensorboardX.event_file_writer  # noqa: F401


@contextlib.contextmanager
def _absent(name: str) -> Iterator[None]:
    """As if a package were not installed, unless it is imported already."""
    modules: dict[str, Any] = sys.modules
    if name in modules:
        yield
        return
    modules[name] = None
    try:
        yield
    finally:
        if modules.get(name) is None:
            modules.pop(name, None)


class ScalarLog:
    """Writes the numbers of a generation; a resumed log hides what it will write again.

    tensorboardX's `SummaryWriter` writes on a thread, which dies of a full disk with a traceback and then blocks its
    caller for ever: here records are written at once, and errors arrive where they can be handled.
    """

    def __init__(self, folder: Path, first: int):
        load_tensorboard()
        from tensorboardX.event_file_writer import EventsWriter
        from tensorboardX.proto.event_pb2 import Event, SessionLog  # pyright: ignore[reportAttributeAccessIssue]

        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        # the writer adds the time in seconds: two runs within one, or a clock put back, must not share a file
        with naming(folder):
            self._writer = EventsWriter(str(folder / "events"), f".{first:06d}.{os.getpid()}")
            if first:
                self._write(Event(step=first, session_log=SessionLog(status=SessionLog.START)))

    def write_scalars(self, step: int, values: dict[str, float | None]) -> None:
        """Numbers by tag at a step; None is left out."""
        from tensorboardX.proto.event_pb2 import Event  # pyright: ignore[reportAttributeAccessIssue]
        from tensorboardX.proto.summary_pb2 import Summary  # pyright: ignore[reportAttributeAccessIssue]

        found = [Summary.Value(tag=tag, simple_value=value) for tag, value in values.items() if value is not None]
        with naming(self._folder):
            self._write(Event(step=step, summary=Summary(value=found)))

    def _write(self, event: "Event") -> None:
        event.wall_time = time.time()
        self._writer.write_event(event)
        self._writer.flush()

    def __enter__(self) -> "ScalarLog":
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):  # every record is on disk already
            self._writer.close()
