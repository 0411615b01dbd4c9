"""Users' mistakes get one clear sentence and exit code 2; nothing else does."""

import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import typer

from mpo_core.settings import UnusableSetting

FAILED, REFUSED, INTERRUPTED, TERMINATED = 1, 2, 130, 143


def refuse(sentence: str) -> typer.Exit:
    """Prints the sentence to standard error; raise what comes back."""
    typer.echo(f"Error: {sentence}", err=True)
    return typer.Exit(REFUSED)


@contextlib.contextmanager
def at_the_door() -> Iterator[None]:
    """Everything a user can get wrong is checked inside, before any work: a `ValueError` there is their mistake."""
    try:
        yield
    except ValueError as error:
        raise refuse(str(error)) from None
    except OSError as error:
        raise refuse(f"{error.filename or 'a file'}: {error.strerror}") from None


@contextlib.contextmanager
def interruptible(advice: str) -> Iterator[None]:
    """Ctrl-C and SIGTERM end with the advice and exit code 130 or 143; a full disk or a lost folder with 1."""
    previous = signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    except KeyboardInterrupt:
        typer.echo(f"\nInterrupted. {advice}", err=True)
        raise typer.Exit(INTERRUPTED) from None
    except _Terminated:
        typer.echo(f"\nTerminated. {advice}", err=True)
        raise typer.Exit(TERMINATED) from None
    except UnusableSetting as error:
        raise refuse(str(error)) from None
    except OSError as error:
        typer.echo(f"\nError: {error.filename or 'a file'}: {error.strerror}. {advice}", err=True)
        raise typer.Exit(FAILED) from None
    finally:
        signal.signal(signal.SIGTERM, previous)


class _Terminated(BaseException):
    pass


def _terminate(signum: int, frame: object) -> None:
    del signum, frame
    raise _Terminated


def check_folder(option: str, folder: Path) -> None:
    """Refuses a folder that can be neither written to nor made.

    Raises:
        ValueError: it, or what it would lie in, is a file or not writable.
    """
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not existing.is_dir():
        raise ValueError(f"{option} {folder}: {existing} is a file, not a folder")
    if not os.access(existing, os.W_OK):
        raise ValueError(f"{option} {folder}: {existing} cannot be written to")


def quiet_exit() -> None:
    """Leaves without a traceback when the reader of a pipe has gone."""
    devnull = os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, sys.stdout.fileno())
