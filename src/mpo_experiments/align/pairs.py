"""Preference pairs, ready to train on: read, in tokens, and counted; what is left out is said."""

import dataclasses
from collections.abc import Iterable
from typing import Any

from adapters.torch.preference_text import TextRows, TrainingData, load_text, token_dataset
from mpo_experiments.align.preference_rows import PreferenceRow, RowReading, RowRule, is_talk, read_rows, shown_rows
from mpo_experiments.align.token_rows import Encoder, TokenRow, TokenRule, token_row


@dataclasses.dataclass(frozen=True)
class PairCounts:
    """How many pairs the data have, and what became of them."""

    rows: int
    used: int
    ties: int
    """Left out: chosen and rejected are equal."""
    near_ties: int
    """Used, though chosen and rejected differ in case or white space alone."""
    too_long: int
    """Left out: the prompt alone fills the length."""
    same_tokens: int
    """Left out: chosen and rejected are the same tokens, within the length."""
    cut: int
    """Used, with an answer that is cut at the length."""


@dataclasses.dataclass(frozen=True)
class Pairs:
    """Pairs in text and in tokens."""

    where: str
    rows: list[PreferenceRow]
    """All but ties."""
    data: TrainingData
    """Columns as `LossTrainer` reads them; without those that are left out."""
    counts: PairCounts
    ties: list[int]
    near_ties: list[int]
    too_long: list[int]
    same_tokens: list[int]

    def __len__(self) -> int:
        return self.counts.used

    def notes(self) -> list[str]:
        """A sentence on each thing that a user should know."""
        said = [
            (self.ties, "left out, for chosen and rejected are equal"),
            (self.near_ties, "near-ties: chosen and rejected differ in case or white space alone"),
            (self.too_long, "left out, for the prompt alone fills the length"),
            (self.same_tokens, "left out, for chosen and rejected are the same tokens within the length"),
        ]
        found = [
            f"{self.where}: {len(numbers)} of {self.counts.rows} rows {what} (rows {shown_rows(numbers)})"
            for numbers, what in said
            if numbers
        ]
        if self.counts.cut:
            found.append(f"{self.where}: {self.counts.cut} pairs have an answer that is cut at the length")
        return found


@dataclasses.dataclass(frozen=True)
class PairRule:
    """What is asked of pairs."""

    rows: RowRule
    tokens: TokenRule
    most_left_out: float = 1.0
    """Share of pairs that may be left out for their length; data with more are refused."""


def load_pair_rows(source: str, split: str) -> TextRows:
    """Rows with the columns `chosen` and `rejected`.

    Raises:
        ValueError: one sentence, as for `load_text`, or that a column is missing.
    """
    return pair_rows(load_text(source, split))


def pair_rows(found: TextRows) -> TextRows:
    """The rows, if they have the columns `chosen` and `rejected`.

    Raises:
        ValueError: one sentence: a column is missing.
    """
    missing = [name for name in ("chosen", "rejected") if name not in found.columns]
    if missing:
        raise ValueError(
            f"{found.where}: has no column {' or '.join(map(repr, missing))} (it has "
            f"{', '.join(found.columns) or 'none'}); preference data has prompt, chosen and rejected"
        )
    return found


def holds_talk(rows: Iterable[Any], names: tuple[str, ...] = ("chosen", "rejected")) -> bool:
    """Whether the first row holds messages: they want a chat template, and rows of both kinds are refused."""
    first = next(iter(rows))
    return isinstance(first, dict) and any(is_talk(first.get(name)) for name in names)


def read_pairs(rows: Iterable[Any], where: str, encoder: Encoder, rule: PairRule) -> Pairs:
    """Reads rows, turns them into tokens, and leaves out what holds nothing to learn from.

    Raises:
        ValueError: one sentence: rows that are no pairs, or too few that are left.
    """
    reading = read_rows(rows, where, rule.rows)
    tokens = _tokens(reading, where, encoder, rule.tokens)
    too_long = [row.number for row in tokens if row.is_too_long(rule.tokens)]
    long = set(too_long)
    same = [row.number for row in tokens if row.number not in long and row.is_same(rule.tokens)]
    gone = long | set(same)
    kept = [row for row in tokens if row.number not in gone]
    counts = PairCounts(
        rows=reading.count,
        used=len(kept),
        ties=len(reading.ties),
        near_ties=len(reading.near_ties),
        too_long=len(too_long),
        same_tokens=len(same),
        cut=sum(row.is_cut(rule.tokens) for row in kept),
    )
    _check_share(where, counts, rule)
    data = token_dataset(_columns(kept, rule.rows.margin))
    return Pairs(where, reading.rows, data, counts, reading.ties, reading.near_ties, too_long, same)


def _tokens(reading: RowReading, where: str, encoder: Encoder, rule: TokenRule) -> list[TokenRow]:
    found = []
    for row in reading.rows:
        try:
            found.append(token_row(row, encoder, rule.scored))
        except ValueError as error:
            raise ValueError(f"{where}: row {row.number}: {error} (the first row is 1)") from None
    return found


def _check_share(where: str, counts: PairCounts, rule: PairRule) -> None:
    read, gone = counts.rows - counts.ties, counts.too_long + counts.same_tokens
    if counts.used and gone <= rule.most_left_out * read:
        return
    reasons = [
        f"in {counts.too_long} the prompt alone fills max_length ({rule.tokens.max_length} tokens)",
        f"in {counts.same_tokens} chosen and rejected are the same tokens within it",
    ]
    why = " and ".join(why for count, why in zip((counts.too_long, counts.same_tokens), reasons, strict=True) if count)
    asked = "" if not counts.used else f", which is more than the share max_left_out ({rule.most_left_out:g})"
    raise ValueError(f"{where}: of {read} pairs {gone} cannot be used{asked}: {why}; raise max_length or shorten them")


def _columns(rows: list[TokenRow], margins: bool) -> dict[str, list[Any]]:
    """Of a data set: tokens, numbers of rows, and what is scored if it is not all."""
    found: dict[str, list[Any]] = {
        "prompt_ids": [row.prompt for row in rows],
        "chosen_ids": [row.chosen.tokens for row in rows],
        "rejected_ids": [row.rejected.tokens for row in rows],
        "row_number": [row.number for row in rows],
    }
    if margins:
        found["margin"] = [row.margin for row in rows]
    if not all(all(side.scored) for row in rows for side in (row.chosen, row.rejected)):
        found["chosen_scored"] = [row.chosen.scored for row in rows]
        found["rejected_scored"] = [row.rejected.scored for row in rows]
    return found
