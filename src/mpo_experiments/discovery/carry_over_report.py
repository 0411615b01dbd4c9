"""What carries over, as tables: a line an objective, a column a cell, and how often it beat the best tuned loss."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from adapters.storage.files import write_json, write_whole
from mpo_experiments.benchmark.cell import BenchmarkCell, CellKey
from mpo_experiments.benchmark.summary import Difference, difference, entry_of, required_best
from mpo_experiments.benchmark.tables import NOT_RUN, interval_text, scores_table
from mpo_experiments.benchmark.verdicts import AHEAD, BEHIND, MARKS, Verdict, summary_of, verdicts
from mpo_experiments.discovery.carry_over import Found, Transfer
from mpo_experiments.discovery.report import found_entry
from mpo_experiments.text_table import TextTable

INTRODUCTION = (
    "Every objective was found by a search on one cell and is used here in all of them, on their reporting units, "
    "which no search has seen; on another task its networks lie where that task has its log-probs. All numbers are "
    "differences to the best tuned hand-written objective of the column's cell (the one with the highest *tuning* "
    "score), with it on the same units."
)


@dataclasses.dataclass(frozen=True)
class Carried:
    """Objectives and their differences to the best tuned one of every cell; None where one was not run."""

    found: list[Found]
    cells: list[CellKey]
    differences: dict[tuple[Found, CellKey], Difference]


def carried(transfer: Transfer, finished: dict[CellKey, BenchmarkCell], cells: dict[CellKey, BenchmarkCell]) -> Carried:
    """What came of a transfer.

    Args:
        finished: cells of the queue: each objective at home.
        cells: what `Transfer.cell` gave of each.
    """
    forms = transfer.queue.settings.forms
    every = [Found(key, form) for key in finished for form in forms]
    found: dict[tuple[Found, CellKey], Difference] = {}
    for key, cell in finished.items():
        for form in forms:
            found[Found(key, form), key] = difference(found_entry(cell, form), required_best(cell))
        if key in cells:
            ids = {one.id for one in cells[key].objectives}
            best = required_best(cells[key])
            for other in transfer.foreign(key, finished):
                id = str(transfer.place(other, key))
                if id in ids:
                    found[other, key] = difference(entry_of(cells[key], id), best)
    return Carried(every, list(finished), found)


def carried_table(carried: Carried) -> TextTable:
    """Every objective in every cell."""
    rows, judged = [], _judged(carried)
    for one in carried.found:
        places = [(one, key) for key in carried.cells]
        rows.append(
            (str(one), *(_text(carried, judged, at) if at in carried.differences else NOT_RUN for at in places))
        )
    return TextTable(
        "Minus the best tuned of each cell",
        ("found in", *map(str, carried.cells)),
        tuple(rows),
        "Normalised score, sampled actions: mean difference paired by unit with 95 % t interval; after the stroke mode "
        f"actions. {_how(carried)} An objective in the cell that it was found in is at home there.",
    )


def counts_table(carried: Carried) -> TextTable:
    """Within 80 columns: in how many other cells an objective is ahead of the best tuned loss, and behind it."""
    rows, judged = [], _judged(carried)
    for one in carried.found:
        places = [(one, key) for key in carried.cells if key != one.key and (one, key) in carried.differences]
        counts = {kind: _counts([judged[at][kind] for at in places]) for kind in KINDS}
        means = {
            kind: f"{np.mean([getattr(carried.differences[at], kind).interval.estimate for at in places]):.2f}"
            if places else NOT_RUN
            for kind in KINDS
        }  # fmt: skip
        in_mode = " / ".join(map(str, counts["mode"]))
        in_sampled = map(str, counts["sampled"])
        rows.append((str(one), str(len(places)), *in_sampled, means["sampled"], in_mode, means["mode"]))
    return TextTable(
        "In other cells than their own",
        ("found in", "cells", AHEAD, BEHIND, "mean", "in mode", "mean"),
        tuple(rows),
        f"Cells: how many it was tried in. In those that are neither ahead nor behind it is not told apart from the "
        f"best tuned loss. {_how(carried)} In mode: ahead / behind with mode actions.",
    )


Judged = dict[tuple[Found, CellKey], dict[str, Verdict]]
KINDS = ("sampled", "mode")


def _judged(carried: Carried) -> Judged:
    """The verdicts of all comparisons that were made, adjusted for how many they are."""
    places = list(carried.differences)
    by_kind = {kind: verdicts([getattr(carried.differences[at], kind) for at in places]) for kind in KINDS}
    return {at: {kind: by_kind[kind][number] for kind in KINDS} for number, at in enumerate(places)}


def _how(carried: Carried) -> str:
    return f"Ahead (+) and behind (-): p < 0.05 after Holm's correction for {len(carried.differences)} comparisons."


def _text(carried: Carried, judged: Judged, at: tuple[Found, CellKey]) -> str:
    sampled, mode = (MARKS[judged[at][kind].word] for kind in KINDS)
    place = carried.differences[at]
    return f"{interval_text(place.sampled.interval)} {sampled} / {place.mode.interval.estimate:.2f} {mode}".rstrip()


def _counts(found: list[Verdict]) -> list[int]:
    return [sum(one.word == word for one in found) for word in (AHEAD, BEHIND)]


def write_carried(folder: Path, carried: Carried, cells: list[BenchmarkCell], command: str) -> list[Path]:
    """transfer.md, transfer.csv and transfer.json; returns the files, that for people first."""
    judged = _judged(carried)
    paths = [folder / f"transfer.{ending}" for ending in ("md", "csv", "json")]
    tables = [counts_table(carried).markdown().rstrip(), carried_table(carried).markdown().rstrip()]
    text = "\n\n".join(["# What carries over", INTRODUCTION, f"    {command}", *tables])
    write_whole(paths[0], f"{text}\n".encode())
    write_whole(paths[1], scores_table(cells).csv().encode())
    write_json(paths[2], {"command": command, "found": [_summary(carried, judged, one) for one in carried.found]})
    return paths


def _summary(carried: Carried, judged: Judged, one: Found) -> dict[str, Any]:
    places = {str(key): (one, key) for key in carried.cells if (one, key) in carried.differences}
    found = {}
    for where, at in places.items():
        place, verdict = carried.differences[at], judged[at]
        sampled, mode = summary_of(place.sampled, verdict["sampled"]), summary_of(place.mode, verdict["mode"])
        found[where] = {"against": place.against} | sampled | {"mode": mode}
    return {"found_in": str(one.key), "form": one.form, "minus_best_tuned": found}
