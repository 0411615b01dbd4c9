"""Files that are whole or not there: write beside, flush to disk, rename."""

import json
import os
from pathlib import Path
from typing import Any


def slug(data: str) -> str:
    """A data specification as part of a file name."""
    return data.replace(":", "").replace("+", "_").replace("=", "").replace(",", "_")


def write_whole(path: Path, content: bytes) -> None:
    """Writes a file in one step: a reader sees the old content or the new, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with beside.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def write_json(path: Path, value: Any) -> None:
    """A JSON file, written in one step."""
    write_whole(path, (json.dumps(value, indent=2) + "\n").encode())


def read_json(path: Path, what: str) -> dict:
    """A JSON object from a file.

    Raises:
        ValueError: one sentence: the file is missing, unreadable, or holds something else.
    """
    try:
        value = json.loads(path.read_text())
    except OSError as error:
        raise ValueError(f"{what} {path}: cannot be read ({error.strerror})") from None
    except (json.JSONDecodeError, UnicodeDecodeError):
        raise ValueError(f"{what} {path}: is not JSON") from None
    if not isinstance(value, dict):
        raise ValueError(f"{what} {path}: holds no JSON object")
    return value
