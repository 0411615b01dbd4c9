"""What carries over, as tables: a line an objective, a column a cell, and how often it beat the best tuned loss."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from adapters.storage.files import write_json, write_whole
from mpo_experiments.benchmark.cell import BenchmarkCell, CellKey
from mpo_experiments.benchmark.summary import Difference, difference, entry_of, required_best
from mpo_experiments.benchmark.tables import NOT_RUN, interval_text, scores_table
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

    def elsewhere(self, found: Found) -> list[Difference]:
        """Those of the cells that it was not found in."""
        there = [(found, key) for key in self.cells if key != found.key]
        return [self.differences[place] for place in there if place in self.differences]


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
    rows = []
    for one in carried.found:
        places = [carried.differences.get((one, key)) for key in carried.cells]
        rows.append((str(one), *(NOT_RUN if place is None else interval_text(place.sampled) for place in places)))
    return TextTable(
        "Minus the best tuned of each cell",
        ("found in", *map(str, carried.cells)),
        tuple(rows),
        "Normalised score, sampled actions: mean difference paired by unit with 95 % t interval. An objective in the "
        "cell that it was found in is at home there.",
    )


def counts_table(carried: Carried) -> TextTable:
    """Within 80 columns: in how many other cells an objective is above the best tuned loss, level with it, or below."""
    rows = []
    for one in carried.found:
        elsewhere = [place.sampled for place in carried.elsewhere(one)]
        above, below = sum(place.low > 0 for place in elsewhere), sum(place.high < 0 for place in elsewhere)
        mean = f"{np.mean([place.estimate for place in elsewhere]):.2f}" if elsewhere else NOT_RUN
        rows.append((str(one), str(above), str(len(elsewhere) - above - below), str(below), mean))
    return TextTable(
        "In other cells than their own",
        ("found in", "above", "level", "below", "mean"),
        tuple(rows),
        "Cells with a 95 % interval of the difference to their best tuned loss above, around and below 0, and the mean "
        "difference.",
    )


def write_carried(folder: Path, carried: Carried, cells: list[BenchmarkCell], command: str) -> list[Path]:
    """transfer.md, transfer.csv and transfer.json; returns the files, that for people first."""
    paths = [folder / f"transfer.{ending}" for ending in ("md", "csv", "json")]
    tables = [counts_table(carried).markdown().rstrip(), carried_table(carried).markdown().rstrip()]
    text = "\n\n".join(["# What carries over", INTRODUCTION, f"    {command}", *tables])
    write_whole(paths[0], f"{text}\n".encode())
    write_whole(paths[1], scores_table(cells).csv().encode())
    write_json(paths[2], {"command": command, "found": [_summary(carried, one) for one in carried.found]})
    return paths


def _summary(carried: Carried, one: Found) -> dict[str, Any]:
    places = {str(key): carried.differences[one, key] for key in carried.cells if (one, key) in carried.differences}
    return {
        "found_in": str(one.key), "form": one.form,
        "minus_best_tuned": {
            where: {"against": place.against} | dataclasses.asdict(place.sampled) for where, place in places.items()
        },
    }  # fmt: skip
