"""The rows of a preference data set as plain text; the one place where they are read."""

import dataclasses
import re

from adapters.torch.preference_text import TextRows
from mpo_experiments.align.preference_rows import RowRule, plain, read_row, read_rows

WORD = re.compile(r"\w+")


@dataclasses.dataclass(frozen=True)
class Pairs:
    """Preference pairs as text, an entry a row."""

    prompt: tuple[str, ...]
    chosen: tuple[str, ...]
    rejected: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.prompt)


def read_pairs(rows: TextRows, rule: RowRule) -> Pairs:
    """The rows as plain text, ties too.

    Raises:
        ValueError: one sentence: rows that are no pairs, or ties alone.
    """
    read_rows(rows, rows.where, rule)  # says what is wrong with which rows
    found = [read_row(row, rule) for row in rows]
    return Pairs(*(tuple(plain(getattr(row, side)) for row in found) for side in ("prompt", "chosen", "rejected")))


def words(text: str) -> list[str]:
    """The words of a text, in small letters, without punctuation."""
    return WORD.findall(text.lower())
