"""Several tasks or kinds of data: in a text joined by commas, or in a list."""

from collections.abc import Callable
from typing import Any

from mpo_core.names import shortened


def split_tasks(tasks: Any) -> Any:
    """Tasks in a text, joined by commas, as a list; a list, or what is no text at all, as it is."""
    return tasks.split(",") if isinstance(tasks, str) else tasks


def split_data(text: str) -> list[str]:
    """The data specifications in a text; the commas within `pairs:oo=A,ot=B` belong to it."""
    found: list[str] = []
    for part in text.split(","):
        before, equals, _ = part.partition("=")
        if found and equals and ":" not in before:
            found[-1] += f",{part}"
        else:
            found.append(part)
    return found


def named(value: Any) -> list[str]:
    """The tasks or kinds of data that an objective's card names: none, one, or several of a search on several."""
    texts = value if isinstance(value, list) else [value]
    return [name for text in texts if isinstance(text, str) for name in split_data(text)]


def listed(what: str, names: Any) -> list[str] | tuple[str, ...]:
    """Names as they are.

    Raises:
        ValueError: they are no list of texts.
    """
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        raise ValueError(f"'{what}': must be a name, or several in a list or joined by commas")
    return names


def canonical_names(what: str, parts: tuple[str, ...], canonical: Callable[[str], str]) -> tuple[str, ...]:
    """The canonical forms of names.

    Raises:
        ValueError: one is empty, or there twice, or not known.
    """
    if len(parts) > 1 and not all(part.strip() for part in parts):
        raise ValueError(f"{what} {shortened(','.join(parts))!r}: there is nothing between two commas, or at an end")
    found = [canonical(part.strip() if len(parts) > 1 else part) for part in parts]
    for place, name in enumerate(found):
        if name in found[:place]:
            raise ValueError(f"{what} {shortened(','.join(parts))!r}: names {name!r} twice")
    return tuple(found)
