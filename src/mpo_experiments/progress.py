"""What long work tells whoever watches it."""

import dataclasses
import time
from typing import Any, Protocol, runtime_checkable


@runtime_checkable
class Reporter(Protocol):
    """Stages one after another, each with a known amount of work."""

    def stage(self, title: str, total: int, unit: str, done: int = 0) -> None:
        """A stage begins, or goes on where it was left; the one before it is over.

        Called before the stage's first work: until something of it is done, its programs are compiled.
        """
        ...

    def advance(self, amount: int) -> None:
        """So much more of the stage's total is done; 0 says nothing new."""
        ...

    def generation(self, record: dict[str, Any]) -> None:
        """A generation of the search is done."""
        ...

    def note(self, text: str) -> None:
        """Something that a person should know."""
        ...


class SilentReporter:
    """Nobody watches."""

    def stage(self, title: str, total: int, unit: str, done: int = 0) -> None:
        """Ignored."""

    def advance(self, amount: int) -> None:
        """Ignored."""

    def generation(self, record: dict[str, Any]) -> None:
        """Ignored."""

    def note(self, text: str) -> None:
        """Ignored."""


def parts_of(total: int, size: int) -> list[range]:
    """Long work in parts of a size, the last one what is left."""
    return [range(first, min(first + size, total)) for first in range(0, total, size)]


@dataclasses.dataclass
class PartClock:
    """Says which part of long work is next, and how long it is to the end by the parts that were done."""

    what: str
    total: int
    _began: float | None = None
    _first: int = 0

    def told(self, part: range) -> str:
        """As "units 1 to 3 of 20 (about 12 min to go)", the time from the second part on."""
        text, now = f"{self.what} {part.start + 1} to {part.stop} of {self.total}", time.monotonic()
        if self._began is None:
            self._began, self._first = now, part.start
            return text
        left = (now - self._began) / (part.start - self._first) * (self.total - part.start)
        return f"{text} (about {left / 60:.0f} min to go)"
