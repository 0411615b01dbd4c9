"""What long work tells whoever watches it."""

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
