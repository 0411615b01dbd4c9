"""One sentence for a name that does not exist."""

import difflib
from collections.abc import Iterable


def unknown_name(what: str, name: str, allowed: Iterable[str], *, where: str = "") -> ValueError:
    """A `ValueError` that says what is unknown, what was probably meant, and what is allowed."""
    choices = list(allowed)
    near = difflib.get_close_matches(name, choices, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(repr(match) for match in near)}? " if near else ""
    listing = f" ({where} shows all)" if where else f" (allowed: {', '.join(choices)})"
    return ValueError(f"unknown {what} {name!r}: {hint}".rstrip(": ") + listing)
