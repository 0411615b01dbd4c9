"""What a queue of discoveries found: one table of all cells, and each cell in full."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from adapters.storage.files import write_json, write_whole
from mpo_core.evaluation.statistics import Interval, stratified_bootstrap
from mpo_experiments.benchmark.cell import BenchmarkCell, CellKey, Entry
from mpo_experiments.benchmark.summary import difference, required_best, standings
from mpo_experiments.benchmark.tables import (
    BOOTSTRAP,
    NOT_RUN,
    cell_table,
    differences_table,
    interval_text,
    scores_table,
)
from mpo_experiments.text_table import TextTable

INTRODUCTION = (
    "In every cell the hand-written objectives were tuned by the same random search on the tuning stream of seeds. "
    "Each search started from the member of the class that tuning found best (no static one from tempo, which sees "
    "time) and used the search stream. All scores below are from the reporting stream, which nothing had seen before. "
    "'Best tuned' is the hand-written objective with the highest *tuning* score, chosen before these units were looked "
    "at."
)


def discovery_table(keys: list[CellKey], cells: dict[CellKey, BenchmarkCell], forms: tuple[str, ...]) -> TextTable:
    """A line a cell: the best tuned hand-written objective, and what each form of search found beside it."""
    rows = []
    for key in keys:
        cell = cells.get(key)
        rows.append((str(key), *(_row(cell, forms) if cell else [NOT_RUN] * (2 + 2 * len(forms)))))
    columns = [column for form in forms for column in (form, f"{form} - best tuned")]
    return TextTable(
        title="Discovered against the tuned zoo",
        columns=("cell", "best tuned", "its score", *columns),
        rows=tuple(rows),
        caption=f"{BOOTSTRAP[0].upper()}{BOOTSTRAP[1:]}; differences are means paired by unit with 95 % t interval.",
    )


def short_discovery_table(
    keys: list[CellKey], cells: dict[CellKey, BenchmarkCell], forms: tuple[str, ...]
) -> TextTable:
    """What fits a terminal: the differences, beside the score that they are to."""
    rows = [
        (str(key), *(_short_row(cells[key], forms) if key in cells else [NOT_RUN] * (1 + len(forms)))) for key in keys
    ]
    return TextTable(
        title="Discovered against the tuned zoo",
        columns=("cell", "best tuned", *(f"{form} - best" for form in forms)),
        rows=tuple(rows),
        caption="Normalised score (original 0, target 1), sampled actions: inter-quartile mean of the best tuned; "
        "differences are means paired by unit with 95 % t interval.",
    )


def write_discovery(
    folder: Path, keys: list[CellKey], cells: dict[CellKey, BenchmarkCell], forms: tuple[str, ...], command: str
) -> list[Path]:
    """results.md, scores.csv and summary.json; returns the files, that for people first."""
    paths = [folder / name for name in ("results.md", "scores.csv", "summary.json")]
    there = [cells[key] for key in keys if key in cells]
    parts = ["# Discovered objectives", INTRODUCTION, f"    {command}", discovery_table(keys, cells, forms).markdown()]
    for cell in there:
        gains = differences_table(cell)
        parts += [cell_table(cell, standings([cell])).markdown(), gains.markdown() if gains else ""]
    write_whole(paths[0], ("\n\n".join(part.rstrip() for part in parts if part) + "\n").encode())
    write_whole(paths[1], scores_table(there).csv().encode())
    write_json(paths[2], {"command": command, "cells": [_summary(key, cells.get(key), forms) for key in keys]})
    return paths


def found_entry(cell: BenchmarkCell, form: str) -> Entry:
    """What the search of a form found, in a cell."""
    return next(entry for entry in cell.objectives if entry.sha256 is not None and entry.id.endswith(f"-{form}"))


def _row(cell: BenchmarkCell, forms: tuple[str, ...]) -> list[str]:
    best, found = required_best(cell), [found_entry(cell, form) for form in forms]
    pairs = [(interval_text(_score(one)), interval_text(difference(one, best).sampled)) for one in found]
    return [best.id, interval_text(_score(best)), *(text for pair in pairs for text in pair)]


def _short_row(cell: BenchmarkCell, forms: tuple[str, ...]) -> list[str]:
    best = required_best(cell)
    gains = [difference(found_entry(cell, form), best).sampled for form in forms]
    return [f"{best.id} {_score(best).estimate:.2f}", *map(interval_text, gains)]


def _score(entry: Entry) -> Interval:
    return stratified_bootstrap(np.asarray(entry.sampled, float)[None])


def _summary(key: CellKey, cell: BenchmarkCell | None, forms: tuple[str, ...]) -> dict[str, Any]:
    where: dict[str, Any] = dataclasses.asdict(key)
    if cell is None:
        return where | {"run": False}
    best = required_best(cell)
    found = {
        form: {
            "score": dataclasses.asdict(_score(found_entry(cell, form))),
            "minus_best_tuned": dataclasses.asdict(difference(found_entry(cell, form), best).sampled),
        }
        for form in forms
    }
    scores = {"best_tuned": best.id, "best_tuned_score": dataclasses.asdict(_score(best))}
    return where | {"run": True, "command": cell.command, "units": cell.units} | scores | found
