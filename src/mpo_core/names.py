"""One sentence for a name that does not exist."""

import difflib
from collections.abc import Iterable

LONGEST = 80
"""Characters of a user's text that a message repeats at most."""


def unknown_name(what: str, name: str, allowed: Iterable[str], *, where: str = "") -> ValueError:
    """A `ValueError` that says what is unknown, what was probably meant, and what is allowed."""
    choices, name = list(allowed), shortened(name)
    near = difflib.get_close_matches(name, choices, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(repr(match) for match in near)}? " if near else ""
    listing = f" ({where} shows all)" if where else f" (allowed: {', '.join(choices)})"
    return ValueError(f"unknown {what} {name!r}: {hint}".rstrip(": ") + listing)


def shortened(text: str) -> str:
    """A text without its middle, where it is too long for a sentence."""
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 23]}...{text[-20:]}"
