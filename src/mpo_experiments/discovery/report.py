"""What a queue of discoveries found: the comparisons of all cells in one table, their scores, and each cell in full."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from adapters.storage.files import write_json, write_whole
from mpo_core.evaluation.statistics import Interval, exact_share
from mpo_experiments.benchmark.cell import BenchmarkCell, CellKey, Entry
from mpo_experiments.benchmark.difference_tables import differences_table
from mpo_experiments.benchmark.summary import best_on_units, no_noise_score, required_best, standings
from mpo_experiments.benchmark.tables import NOT_RUN, cell_table, interval_text, ranges_table, scores_table
from mpo_experiments.benchmark.verdicts import MARKS, Gain, Verdict, gain, summary_of, verdicts
from mpo_experiments.discovery.queue import found_entries
from mpo_experiments.discovery.score_table import found_scores_table
from mpo_experiments.text_table import TextTable

INTRODUCTION = (
    "In every cell the hand-written objectives were tuned by the same search of settings on the tuning stream of "
    "seeds. Each search started from the member of the class that tuning found best (no static one from tempo, which "
    "sees time) and used the search stream. All scores below are from the reporting stream, which nothing had seen "
    "before. 'Best tuned' is the hand-written objective with the highest *tuning* score, chosen before these units "
    "were looked at; 'best on these units' the one with the highest mean on them."
)
KINDS = ("sampled", "mode")


@dataclasses.dataclass(frozen=True)
class Discoveries:
    """The cells of a queue that are there, of those that were asked for."""

    keys: list[CellKey]
    cells: dict[CellKey, BenchmarkCell]
    forms: tuple[str, ...]
    command: str
    budget: str = ""
    """What a search takes, in a sentence."""


@dataclasses.dataclass(frozen=True)
class Comparison:
    """What was found by the searches of a form in a cell, against a hand-written objective each kind of actions."""

    key: CellKey
    form: str
    against: dict[str, Entry]
    gains: dict[str, Gain]
    judged: dict[str, Verdict]


def comparisons(found: Discoveries, against: Callable[[BenchmarkCell, str], Entry]) -> list[Comparison]:
    """All cells and forms, with the verdicts of the table that they make together.

    Args:
        against: the hand-written objective of a cell for a kind of actions.
    """
    places = [(key, form) for key in found.keys if key in found.cells for form in found.forms]
    others = [{kind: against(found.cells[key], kind) for kind in KINDS} for key, _ in places]
    gains = [
        {kind: gain(found_entries(found.cells[key], form), other[kind], kind) for kind in KINDS}
        for (key, form), other in zip(places, others, strict=True)
    ]
    judged = {kind: verdicts([one[kind] for one in gains]) for kind in KINDS}
    return [
        Comparison(key, form, other, one, {kind: judged[kind][at] for kind in KINDS})
        for at, ((key, form), other, one) in enumerate(zip(places, others, gains, strict=True))
    ]


def against_tuned(found: Discoveries) -> list[Comparison]:
    """Against the loss that tuning found best."""
    return comparisons(found, lambda cell, kind: required_best(cell))


def against_best(found: Discoveries) -> list[Comparison]:
    """Against the loss that is best on the reporting units themselves."""
    return comparisons(found, lambda cell, kind: best_on_units(cell, kind) or required_best(cell))


def discovery_table(found: Discoveries) -> TextTable:
    """A line a cell and form: what was found minus the loss that tuning found best."""
    caption = "No action noise: what the original agent's mode actions return, on the scale of sampled ones."
    return _table("Discovered minus the best tuned loss", found, against_tuned(found), caption)


def post_hoc_table(found: Discoveries) -> TextTable:
    """The same against the loss that does best on the very units of the table."""
    caption = "The loss is chosen on the units that it is compared on, for each kind of actions by itself."
    return _table("Discovered minus the loss that is best on these units", found, against_best(found), caption)


def _table(title: str, found: Discoveries, lines: list[Comparison], note: str) -> TextTable:
    several = any(len(one.gains["sampled"].by_search) > 1 for one in lines)
    rows = [_row(found, one, several) for one in lines]
    width = 11 + several
    rows += [(str(key), *[NOT_RUN] * (width - 1)) for key in found.keys if key not in found.cells]
    of = f" of {max(len(one.gains['sampled'].by_search) for one in lines)} searches a cell" if several else ""
    one, many = "95 % t interval, paired t test", "95 % t interval and p, searches and units as crossed random effects"
    how = many if several else one
    return TextTable(
        title=title,
        columns=(
            "cell", "form", "against", "sampled actions", "p (Holm)", "so it is", "detectable", "mode", "p (Holm)",
            "so it is", "no action noise", *(["searches above"] if several else []),
        ),
        rows=tuple(rows),
        caption=(
            f"Means{of}, paired by unit: {how} (intervals are not adjusted). p is adjusted by Holm's method for the "
            f"{len(lines)} comparisons of the table, sampled and mode actions apart; 'ahead' and 'behind' are said "
            "where it is below 0.05. Detectable: what so many units would have shown with power 0.8, had it been the "
            f"only look. {note}"
            + (" Searches above: share with a mean above that of the loss, exact interval." if several else "")
        ),
    )  # fmt: skip


def _row(found: Discoveries, one: Comparison, several: bool) -> tuple[str, ...]:
    sampled, mode = (one.gains[kind] for kind in KINDS)
    alone = no_noise_score(found.cells[one.key])
    return (
        str(one.key), one.form, " / ".join(dict.fromkeys(one.against[kind].id for kind in KINDS)),
        interval_text(sampled.interval), one.judged["sampled"].p_text, one.judged["sampled"].word,
        f"{sampled.detectable:.2f}", interval_text(mode.interval), one.judged["mode"].p_text, one.judged["mode"].word,
        "-" if alone is None else f"{alone:.2f}", *([share_text(sampled.by_search)] if several else []),
    )  # fmt: skip


def share_above(by_search: Sequence[float]) -> Interval:
    """The share of searches with a mean difference above 0."""
    return exact_share(sum(mean > 0 for mean in by_search), len(by_search))


def share_text(by_search: Sequence[float]) -> str:
    """The same as tables have it."""
    share = share_above(by_search)
    return f"{round(share.estimate * share.units)} of {share.units} [{share.low:.2f}, {share.high:.2f}]"


def short_discovery_table(found: Discoveries) -> TextTable:
    """What fits a terminal: the differences to the best tuned loss, with the words as marks."""
    lines = against_tuned(found)
    rows = []
    for key in found.keys:
        rows.append((str(key), *([NOT_RUN] * 3 if key not in found.cells else [""] * 3)))
        rows += [
            (f"  {one.form}", one.against["sampled"].id, *(_marked(one, kind) for kind in KINDS))
            for one in lines
            if one.key == key
        ]
    return TextTable(
        title="Discovered minus the best tuned loss",
        columns=("cell", "against", "sampled actions", "mode"),
        rows=tuple(rows),
        caption="Normalised score (original 0, target 1): means paired by unit with 95 % interval. + ahead, - behind: "
        f"p < 0.05 after Holm's correction for {len(lines)} comparisons. {found.budget}",
    )


def _marked(one: Comparison, kind: str) -> str:
    return f"{interval_text(one.gains[kind].interval)} {MARKS[one.judged[kind].word] or ' '}"


def write_discovery(folder: Path, found: Discoveries) -> list[Path]:
    """results.md, scores.csv and summary.json; returns the files, that for people first."""
    paths = [folder / name for name in ("results.md", "scores.csv", "summary.json")]
    there = [found.cells[key] for key in found.keys if key in found.cells]
    tables = [discovery_table(found), post_hoc_table(found)] if there else []
    tables += [found_scores_table(there, found.forms)] if there else []
    for cell in there:
        gains = differences_table(cell)
        tables += [cell_table(cell, standings([cell])), *([gains] if gains else []), ranges_table(cell)]
    parts = ["# Discovered objectives", INTRODUCTION, found.budget, f"    {found.command}"]
    parts += [table.markdown() for table in tables]
    write_whole(paths[0], ("\n\n".join(part.rstrip() for part in parts if part) + "\n").encode())
    write_whole(paths[1], scores_table(there).csv().encode())
    write_json(paths[2], {"command": found.command, "cells": _summaries(found)})
    return paths


def found_entry(cell: BenchmarkCell, form: str) -> Entry:
    """What the first search of a form found."""
    return found_entries(cell, form)[0]


def _summaries(found: Discoveries) -> list[dict[str, Any]]:
    cells: dict[CellKey, dict[str, Any]] = {key: key.as_json() | {"run": key in found.cells} for key in found.keys}
    for key, cell in found.cells.items():
        if key in cells:
            cells[key] |= {
                "command": cell.command, "units": cell.units, "best_tuned": required_best(cell).id,
                "original_no_action_noise": no_noise_score(cell),
            }  # fmt: skip
    for name, lines in (("minus_best_tuned", against_tuned(found)), ("minus_best_on_units", against_best(found))):
        for one in lines:
            share = share_above(one.gains["sampled"].by_search)
            cells[one.key].setdefault(one.form, {"searches": share.units})[name] = {
                kind: {"against": one.against[kind].id} | summary_of(one.gains[kind], one.judged[kind])
                for kind in KINDS
            } | {"searches_above": dataclasses.asdict(share)}
    return list(cells.values())
