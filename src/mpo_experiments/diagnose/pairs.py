"""The rows of a preference data set as plain text; the one place where they are read."""

import dataclasses
import re
from typing import Any

from adapters.torch.preference_text import load_pairs, plain

WORD = re.compile(r"\w+")


@dataclasses.dataclass(frozen=True)
class Pairs:
    """Preference pairs as text, an entry a row."""

    prompt: tuple[str, ...]
    chosen: tuple[str, ...]
    rejected: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.prompt)


def read_pairs(dataset: str, split: str, limit: int | None) -> tuple[Any, Pairs]:
    """The rows as TRL reads them, and as plain text.

    Raises:
        ValueError: one sentence, as for `adapters.torch.preference_text.load_pairs`.
    """
    rows = load_pairs(dataset, split)
    if limit is not None:
        rows = rows.select(range(min(limit, len(rows))))
    return rows, Pairs(*(tuple(plain(one) for one in rows[name]) for name in ("prompt", "chosen", "rejected")))


def words(text: str) -> list[str]:
    """The words of a text, in small letters, without punctuation."""
    return WORD.findall(text.lower())
