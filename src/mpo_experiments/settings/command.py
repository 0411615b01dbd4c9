"""The command that repeats what some settings say, and settings from a command that was written down."""

import shlex
from collections.abc import Mapping
from typing import Any


def written_command(name: str, options: Mapping[str, object]) -> str:
    """`mpo NAME --option value ...`, quoted for a shell where it must be.

    Args:
        options: values by option, underscores for hyphens. A tuple is joined by commas, a list repeats the option, True
            is an option without a value; None, False and an empty list are left out.
    """
    parts = ["mpo", *name.split()]
    for option, value in options.items():
        for one in value if isinstance(value, list) else [value]:
            if one is not None and one is not False:
                parts.append(f"--{option.replace('_', '-')}")
                parts += [] if one is True else [shlex.quote(_text(one))]
    return " ".join(parts)


def _text(value: object) -> str:
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def read_command(text: str, name: str) -> dict[str, Any] | None:
    """The options of a command that was written down, each one's last value as a text; None if it is another command.

    Earlier versions did not quote: what stands between an option and the next one is its value.
    """
    try:
        words = shlex.split(text)
    except ValueError:
        return None
    if words[: 1 + len(name.split())] != ["mpo", *name.split()]:
        return None
    found: dict[str, str] = {}
    for option, *values in _by_option(words[1 + len(name.split()) :]):
        found[option.removeprefix("--").replace("-", "_")] = " ".join(values)
    return found


def _by_option(words: list[str]) -> list[list[str]]:
    starts = [place for place, word in enumerate(words) if word.startswith("--")]
    return [words[start:end] for start, end in zip(starts, [*starts[1:], len(words)], strict=True)]
