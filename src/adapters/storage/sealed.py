"""JSON files that hold the hash of the rest of themselves, so that one that is damaged or was edited is refused."""

import hashlib
import json
from pathlib import Path
from typing import Any, TypeVar

import pydantic

from adapters.storage.files import read_json, write_json
from mpo_core.names import shortened

SEAL = "sha256"
"""Where a JSON object holds the hash of the rest of itself."""
Model = TypeVar("Model", bound=pydantic.BaseModel)


def write_sealed(path: Path, value: dict[str, Any], *, seal: str = SEAL) -> None:
    """A JSON file that holds, under `seal`, the hash of the rest of itself; written in one step."""
    write_json(path, value | {seal: seal_of(value, seal=seal)})


def seal_of(value: dict[str, Any], *, seal: str = SEAL) -> str:
    """SHA-256 of an object's JSON with sorted keys, the seal left out."""
    rest = json.loads(json.dumps({name: part for name, part in value.items() if name != seal}))
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def unsealed(value: dict[str, Any], where: str, *, seal: str = SEAL, advice: str = "") -> dict[str, Any]:
    """An object without its seal; one that never had a seal is taken as it is.

    Args:
        where: what it is and where it is from, for the message.
        advice: what to do about it, for the message.

    Raises:
        ValueError: its seal does not match the rest.
    """
    try:
        matches = seal not in value or value[seal] == seal_of(value, seal=seal)
    except (TypeError, ValueError, RecursionError):  # YAML has values that JSON has not
        matches = False
    if not matches:
        said = f"{where}: does not match its own hash, so it is damaged or was edited"
        raise ValueError(f"{said}; {advice}" if advice else said)
    return {name: part for name, part in value.items() if name != seal}


def check_version(value: dict[str, Any], where: str, version: int, older: tuple[int, ...] = ()) -> None:
    """Refuses a file of another schema version, by its number.

    Args:
        older: versions that are read as well.

    Raises:
        ValueError: which version it has, and which this program reads.
    """
    found = value.get("schema_version", version)
    if found not in (version, *older) or isinstance(found, bool):
        read = " and ".join(map(str, (*older, version)))
        raise ValueError(f"{where}: has schema version {shortened(str(found))}, this mpo reads {read}")


def read_model(path: Path, what: str, model: type[Model], *, advice: str, version: int = 1) -> Model:
    """A value that was written, sealed, as JSON.

    Args:
        advice: what to do about one that is damaged.

    Raises:
        ValueError: one sentence: missing, unreadable, of another schema version, changed since, or not such a value.
    """
    value, where = read_json(path, what), f"{what} {path}"
    check_version(value, where, version)
    try:
        return model.model_validate(unsealed(value, where, advice=advice))
    except pydantic.ValidationError as error:
        raise ValueError(f"{where}: is damaged; {advice} ({first_fault(error)})") from None


def first_fault(error: pydantic.ValidationError) -> str:
    """The first complaint of a validation error: where and why, in a few words."""
    first = error.errors(include_url=False, include_input=False)[0]
    where, message = ".".join(str(part) for part in first["loc"]), first["msg"].removeprefix("Value error, ")
    return f"'{shortened(where)}': {message[0].lower()}{message[1:]}" if where else f"its content: {message}"
