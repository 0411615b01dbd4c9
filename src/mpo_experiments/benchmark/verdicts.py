"""Who is ahead of whom, with the number of looks counted: the words are given by the adjusted test alone."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from mpo_core.evaluation.statistics import Interval, crossed_detectable, crossed_test, holm
from mpo_experiments.benchmark.cell import Entry
from mpo_experiments.text_table import p_text

SIGNIFICANCE = 0.05
AHEAD, BEHIND, LEVEL = "ahead", "behind", "not told apart"
MARKS = {AHEAD: "+", BEHIND: "-", LEVEL: ""}
"""Of the words, where a terminal has no room for them."""


@dataclasses.dataclass(frozen=True)
class Gain:
    """Mean difference paired by unit, with one kind of actions."""

    interval: Interval
    """Of one search: Student's t over units; of several: t with searches and units as crossed random effects."""
    p_value: float
    """Of the same test, not adjusted."""
    detectable: float
    """The least difference that so many units would have shown with power 0.8, for one look at 5 %."""
    by_search: tuple[float, ...]
    """Mean difference of each search."""


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What a table may say of one of its comparisons."""

    adjusted: float
    """p after Holm's correction for the table's comparisons."""
    word: str

    @property
    def p_text(self) -> str:
        """The adjusted p as tables have it."""
        return p_text(self.adjusted)


def gain(ours: Sequence[Entry], theirs: Entry, kind: str) -> Gain:
    """What objectives of one kind (the searches of a cell, or a single objective) gain over another.

    Args:
        kind: of actions, "sampled" or "mode".
    """
    differences = np.array([getattr(one, kind) for one in ours], float) - np.array(getattr(theirs, kind), float)
    found = crossed_test(differences)
    return Gain(found.interval, found.p_value, crossed_detectable(differences), tuple(map(float, differences.mean(1))))


def verdicts(gains: Sequence[Gain]) -> list[Verdict]:
    """The verdicts of a table's comparisons, adjusted for how many there are."""
    adjusted = holm(np.array([one.p_value for one in gains]))
    return [Verdict(float(p), _word(one, float(p))) for one, p in zip(gains, adjusted, strict=True)]


def summary_of(one: Gain, verdict: Verdict) -> dict[str, Any]:
    """A comparison as it is kept in JSON."""
    return dataclasses.asdict(one.interval) | {
        "p_value": one.p_value, "p_adjusted": verdict.adjusted, "so_it_is": verdict.word,
        "detectable": one.detectable,
    }  # fmt: skip


def _word(one: Gain, adjusted: float) -> str:
    if adjusted >= SIGNIFICANCE:
        return LEVEL
    return AHEAD if one.interval.estimate > 0 else BEHIND
