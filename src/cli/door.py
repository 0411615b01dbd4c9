"""Users' mistakes get one clear sentence and exit code 2; nothing else does."""

import contextlib
import os
import signal
import sys
from collections.abc import Iterator

import typer

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


def quiet_exit() -> None:
    """Leaves without a traceback when the reader of a pipe has gone."""
    devnull = os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, sys.stdout.fileno())
