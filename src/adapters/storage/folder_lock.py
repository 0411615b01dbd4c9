"""One process at a time writes to a folder."""

import contextlib
import fcntl
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from mpo_core.settings import UnusableSetting


def take_lock(folder: Path, what: str) -> TextIO:
    """Takes the lock of a folder for this process; it is free again when the file that comes back is closed, or the
    process ends, however it ends.

    Args:
        what: what the folder is, for the message: "run folder".

    Raises:
        UnusableSetting: another process has it, or it cannot be written to.
    """
    try:
        file = (folder / ".lock").open("w")
    except OSError as error:
        raise UnusableSetting(f"{what} {folder}: cannot be written to ({error.strerror})") from None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.close()
        if isinstance(error, BlockingIOError):
            raise UnusableSetting(f"{what} {folder}: another mpo process is writing to it") from None
        raise UnusableSetting(f"{what} {folder}: cannot be locked ({error.strerror})") from None
    return file


@contextlib.contextmanager
def locked_folder(folder: Path, what: str) -> Iterator[None]:
    """While open, no other process can take the folder, which is made if it is not there, and goes if it stays empty.

    Raises:
        UnusableSetting: as `take_lock`.
    """
    made = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    with take_lock(folder, what) as lock:
        try:
            yield
        finally:
            if made and folder.is_dir() and [path.name for path in folder.iterdir()] == [Path(lock.name).name]:
                shutil.rmtree(folder)  # what was asked for was refused
