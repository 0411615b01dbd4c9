"""Users' mistakes get one clear sentence and exit code 2; nothing else does."""

import contextlib
import importlib.util
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from adapters.processes.signals import Terminated, signals_heard
from mpo_core.failures import backend_fault, explained
from mpo_core.settings import UnusableSetting

if TYPE_CHECKING:
    from mpo_experiments.objectives.named import NamedObjective

FAILED, REFUSED, INTERRUPTED, TERMINATED = 1, 2, 130, 143
LONGEST = 1500
"""Characters of a message."""
MOST_UNITS, MOST_SETTINGS, LAST_SEED = 10_000, 10_000, 2**31 - 1
"""What no machine would finish, and what a seed fits in."""


def refuse(sentence: str) -> typer.Exit:
    """Prints the sentence to standard error, on one line of bearable length; raise what comes back."""
    line = "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in sentence)
    typer.echo(f"Error: {line if len(line) <= LONGEST else f'{line[: LONGEST - 300]} ... {line[-295:]}'}", err=True)
    return typer.Exit(REFUSED)


@contextlib.contextmanager
def validating_input() -> Iterator[None]:
    """Everything a user can get wrong is checked inside, before any work: a `ValueError` there is their mistake."""
    try:
        yield
    except ValueError as error:
        raise refuse(str(error)) from None
    except OSError as error:
        raise refuse(f"{error.filename or 'a file'}: {error.strerror}") from None
    except (RuntimeError, AssertionError) as error:
        raise _refused_device(error) from None


def _refused_device(error: Exception) -> Exception:
    """A refusal where JAX has no device to compute on, else the error itself."""
    sentence = backend_fault(error)
    return error if sentence is None else refuse(sentence)


@contextlib.contextmanager
def interruptible(advice: str) -> Iterator[None]:
    """Ctrl-C and SIGTERM end with the advice and exit code 130 or 143; a full disk, a lost folder, a device out of
    memory or a search that cannot go on with 1."""
    with signals_heard():
        try:
            yield
        except KeyboardInterrupt:
            typer.echo(f"\nInterrupted. {advice}", err=True)
            raise typer.Exit(INTERRUPTED) from None
        except Terminated:
            typer.echo(f"\nTerminated. {advice}", err=True)
            raise typer.Exit(TERMINATED) from None
        except UnusableSetting as error:
            raise refuse(str(error)) from None
        except OSError as error:
            raise _failed(f"{error.filename or 'a file'}: {error.strerror or error}. {advice}") from None
        except Exception as error:
            sentence = explained(error, advice)
            if sentence is None:
                raise _refused_device(error) from None
            raise _failed(sentence) from None


def _failed(sentence: str) -> typer.Exit:
    typer.echo(f"\nError: {sentence}", err=True)
    return typer.Exit(FAILED)


def check_extra(command: str, modules: tuple[str, ...]) -> None:
    """Refuses a command whose optional libraries are not there.

    Raises:
        ValueError: one sentence with the extra to install.
    """
    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    if missing:
        raise ValueError(
            f"{command} needs the extra llm ({', '.join(missing)} not installed): pip install 'mirror-po[llm]'"
        )


def check_folder(option: str, folder: Path) -> None:
    """Refuses a folder that can be neither written to nor made.

    Raises:
        ValueError: it, or what it would lie in, is a file or not writable.
    """
    _check_place(f"{option} {folder}", folder)


@contextlib.contextmanager
def locked(option: str, folder: Path) -> Iterator[None]:
    """Keeps other processes out of a folder that is made if need be; one that another process writes to is refused."""
    from adapters.storage.folder_lock import locked_folder

    with contextlib.ExitStack() as held:
        with validating_input():
            held.enter_context(locked_folder(folder, option))
        yield


def _check_place(asked: str, folder: Path) -> None:
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not existing.is_dir():
        raise ValueError(f"{asked}: {existing} is a file, not a folder")
    if not os.access(existing, os.W_OK):
        raise ValueError(f"{asked}: {existing} cannot be written to")


def check_file(option: str, path: Path) -> None:
    """Refuses a file that could not be written.

    Raises:
        ValueError: it is a folder or a device, or what it would lie in cannot be written to.
    """
    if path.is_dir():
        raise ValueError(f"{option} {path}: is a folder, name a file")
    if path.exists() and not path.is_file():
        raise ValueError(f"{option} {path}: is no regular file")
    _check_place(f"{option} {path}", path.parent)


def objective_named(text: str) -> "NamedObjective":
    """The objective that a text names, refused before anything large is imported if it is not there.

    Raises:
        ValueError: it is named like a file and cannot be read, or is no objective's id, or not with such settings.
    """
    from mpo_experiments.objectives.named import parse_objective

    found = parse_objective(text)
    found.check()
    return found


def objective_ids_named(text: str) -> tuple[str, ...]:
    """Ids, objective files and run folders, joined by commas, as ids of the catalogue; none with settings.

    Raises:
        ValueError: there is no such objective, or one is named twice.
    """
    from mpo_core.losses.ids import unknown_objective
    from mpo_experiments.objectives.named import parse_objectives

    found = parse_objectives(text)
    ids: list[str] = []
    for one in found:
        one.check()
        if one.loss is None:
            from mpo_experiments.objectives.saved import register_file

            ids.append(register_file(one.file, one.text))
        elif one.loss.settings:
            raise unknown_objective(one.text, ())
        else:
            ids.append(one.loss.id)
    if len(set(ids)) < len(ids):
        raise ValueError(f"--objectives {text}: names one of them twice")
    return tuple(ids)


def quiet_exit() -> None:
    """Leaves without a traceback when the reader of a pipe has gone."""
    devnull = os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, sys.stdout.fileno())
