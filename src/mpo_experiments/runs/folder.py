"""Run folders by their configuration: made anew, or opened."""

import datetime
import secrets
from pathlib import Path

from adapters.storage.files import slug
from adapters.storage.run_folder import CONFIG_NAME, RunFolder
from mpo_experiments.settings.run_config import RunConfig, read_run_config

LONGEST_NAME = 100
"""Characters of task and data in a folder's name; where they make it longer, it has how many there are."""


def create_run(out: Path, config: RunConfig) -> RunFolder:
    """A fresh folder `<task>-<data>-<time>-<suffix>` under `out`.

    Raises:
        ValueError: no folder can be made there.
    """
    task, data = slug(",".join(config.tasks)), slug(",".join(config.kinds))
    if len(f"{task}-{data}") > LONGEST_NAME:
        task, data = f"{len(config.tasks)}tasks", f"{len(config.kinds)}kinds"
    now = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
    path = out / f"{task}-{data}-{now}-{secrets.token_hex(2)}"
    try:
        path.mkdir(parents=True)
    except OSError as error:
        raise ValueError(f"--out {out}: no run folder can be made there ({error.strerror})") from None
    return RunFolder(path)


def open_run(path: Path) -> tuple[RunFolder, RunConfig]:
    """An existing folder and what it was made from.

    Raises:
        ValueError: not a run folder, or its config.json is damaged.
    """
    if not (path / CONFIG_NAME).is_file():
        raise ValueError(
            f"run folder {path}: has no config.json; a run folder is what `mpo meta-train` prints at its end"
        )
    return RunFolder(path), read_run_config(path / CONFIG_NAME)
