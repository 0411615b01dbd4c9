"""TensorBoard scalars through tensorboardX, which needs no TensorFlow."""

from pathlib import Path
from typing import Any

from tensorboardX import SummaryWriter


class ScalarLog:
    """Writes the numbers of a generation; a resumed log hides what it will write again."""

    def __init__(self, folder: Path, first: int):
        self._writer = SummaryWriter(str(folder), purge_step=first or None)

    def write(self, record: dict[str, Any]) -> None:
        """One scalar a number, under `search/`."""
        step = record["generation"]
        for name, value in record.items():
            if name != "generation" and value is not None:
                self._writer.add_scalar(f"search/{name}", value, step)

    def __enter__(self) -> "ScalarLog":
        return self

    def __exit__(self, *_: object) -> None:
        self._writer.close()
