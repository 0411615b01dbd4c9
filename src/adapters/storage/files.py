"""Files that are whole or not there: write beside, flush to disk, rename; and one sentence for what cannot be read."""

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

from adapters.processes.signals import signals_held

LARGEST = 2**28
"""Bytes of a file, above which it is nothing of ours, and is not read to its end."""


def slug(data: str) -> str:
    """A data specification as part of a file name."""
    return data.replace(":", "").replace("+", "_").replace("=", "").replace(",", "_")


def beside(path: Path, ending: str) -> Path:
    """A file beside another one: its name, less .json or .jsonl, with an ending; dots in the name stay."""
    stem = path.name if path.suffix not in (".json", ".jsonl") else path.stem
    return path.with_name(stem + ending)


LEFTOVERS = ".*.tmp"
"""What a writer that was killed leaves beside the file that it was about to replace."""


def write_whole(path: Path, content: bytes) -> None:
    """Writes a file in one step: a reader sees the old content or the new, never a part.

    Ctrl-C and SIGTERM wait for its end.

    Raises:
        OSError: no room, no right, no such folder; it names the file.
    """
    with signals_held(), naming(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        try:
            with partial.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                partial.unlink(missing_ok=True)
            raise
        _flush_folder(path.parent)


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Errors of the file system name the file: those of writing and flushing have no name of their own."""
    try:
        yield
    except OSError as error:
        error.filename = str(path)
        raise


def _flush_folder(folder: Path) -> None:
    """Makes a rename outlast a power cut, where the file system can."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def write_json(path: Path, value: Any) -> None:
    """A JSON file, written in one step."""
    write_whole(path, (json.dumps(value, indent=2) + "\n").encode())


def read_bytes(path: Path, what: str) -> bytes:
    """A file's content.

    Raises:
        ValueError: one sentence: the file is missing, unreadable or far too large.
    """
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST + 1)
    except (OSError, ValueError) as error:  # a name with a null byte is a bare ValueError
        raise ValueError(f"{what} {path}: cannot be read ({getattr(error, 'strerror', error)})") from None
    if len(content) > LARGEST:
        raise ValueError(f"{what} {path}: is larger than {LARGEST // 2**20} MiB, so it is something else")
    return content


def read_text(path: Path, what: str) -> str:
    """A text file in UTF-8.

    Raises:
        ValueError: one sentence: the file is missing, unreadable, far too large or not text.
    """
    try:
        return read_bytes(path, what).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError(f"{what} {path}: cannot be read (not text)") from None


def parse_json(text: str) -> Any:
    """A JSON value; unlike `json.loads`, it takes no NaN or Infinity, which JSON does not have.

    Raises:
        ValueError: it is not JSON, or nested too deeply.
    """
    try:
        return json.loads(text, parse_constant=_no_constant)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def read_json(path: Path, what: str) -> dict[str, Any]:
    """A JSON object from a file.

    Raises:
        ValueError: one sentence: the file is missing, unreadable, or holds something else.
    """
    content = read_bytes(path, what)
    try:
        value = parse_json(content.decode("utf-8-sig"))
    except ValueError:
        raise ValueError(f"{what} {path}: is not JSON") from None
    if not isinstance(value, dict):
        raise ValueError(f"{what} {path}: holds no JSON object")
    return value


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number in JSON")
