"""One process at a time writes to a folder."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from mpo_core.settings import UnusableSetting

LOCK = ".lock"


def take_lock(folder: Path, what: str) -> TextIO:
    """Takes the lock of a folder for this process; it is free again when the file that comes back is closed, or the
    process ends, however it ends.

    Args:
        what: what the folder is, for the message: "run folder".

    Raises:
        UnusableSetting: another process has it, or it cannot be written to.
    """
    try:
        file = (folder / LOCK).open("w")
    except OSError as error:
        raise UnusableSetting(f"{what} {folder}: cannot be written to ({error.strerror})") from None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not holds(file, folder):  # whoever had it has removed it in the meantime
            raise BlockingIOError
    except OSError as error:
        file.close()
        if isinstance(error, BlockingIOError):
            raise UnusableSetting(f"{what} {folder}: another mpo process is writing to it") from None
        raise UnusableSetting(f"{what} {folder}: cannot be locked ({error.strerror})") from None
    return file


@contextlib.contextmanager
def locked_folder(folder: Path, what: str) -> Iterator[None]:
    """While open, no other process can take the folder. It is made if it is not there, with what it lies in; what was
    made goes again if nothing is written to it.

    Raises:
        UnusableSetting: as `take_lock`.
    """
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    with take_lock(folder, what):
        try:
            yield
        finally:
            with contextlib.suppress(OSError):  # it is gone, or somebody else has written to it
                if os.listdir(folder) == [LOCK]:
                    (folder / LOCK).unlink()
                    for path in made:
                        path.rmdir()


def holds(file: TextIO, folder: Path) -> bool:
    """Whether a lock is still that of the folder: neither was removed or replaced since it was opened."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), os.stat(folder / LOCK))
    except OSError:
        return False
