"""Scalars in Weights & Biases, for those who have asked for it: an extra, `pip install "mirror-po[wandb]"`."""

import hashlib
import importlib
import importlib.util
import os
from pathlib import Path
from typing import Any

from mpo_core.failures import WorkFailed

PROJECT = "mpo"
"""Unless WANDB_PROJECT names another one."""


def check_wandb() -> None:
    """Whether it is there.

    Raises:
        ValueError: one sentence: it is not installed.
    """
    if importlib.util.find_spec("wandb") is None:
        raise ValueError('--log wandb: wandb is not installed: pip install "mirror-po[wandb]"')


class WandbLog:
    """A run of the project `mpo`, named as its folder; an interrupted one goes on where its folder is.

    Where and whether anything is sent is up to wandb's own settings, such as WANDB_MODE=offline.

    Args:
        folder: the run's own; wandb keeps its files in it, under `wandb/`.
        config: shown beside the curves.

    Raises:
        WorkFailed: one sentence: wandb refuses, for it knows no account.
    """

    def __init__(self, folder: Path, config: dict[str, Any]):
        wandb: Any = importlib.import_module("wandb")
        folder.mkdir(parents=True, exist_ok=True)
        project = os.environ.get("WANDB_PROJECT", PROJECT)
        place = hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:8]  # folders elsewhere may have its name
        try:
            self._run: Any = wandb.init(
                project=project,
                name=folder.name,
                id=f"{folder.name}-{place}",
                dir=str(folder),
                config=config,
                resume="allow",
            )
        except wandb.errors.UsageError as error:
            first = str(error).strip().splitlines()[0].rstrip(".:")
            raise WorkFailed(f"--log wandb: {first}: run `wandb login`, or set WANDB_MODE=offline") from None

    def write_scalars(self, step: int, values: dict[str, float | None]) -> None:
        """Numbers by tag at a step; None is left out."""
        self._run.log({tag: value for tag, value in values.items() if value is not None}, step=step)

    def __enter__(self) -> "WandbLog":
        return self

    def __exit__(self, *_: object) -> None:
        self._run.finish()
