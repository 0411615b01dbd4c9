"""Writes what a benchmark found: Markdown, LaTeX, CSV, JSON and figures."""

import dataclasses
from pathlib import Path
from typing import Any

from adapters.storage.files import write_json, write_whole
from mpo_core.settings import FAILED_SCORE
from mpo_experiments.benchmark.cell import BenchmarkCell, BenchmarkSettings, CellKey
from mpo_experiments.benchmark.difference_tables import differences_summary, differences_table
from mpo_experiments.benchmark.figures import draw_ranking
from mpo_experiments.benchmark.leaderboard import leaderboard
from mpo_experiments.benchmark.leaderboard_page import write_page
from mpo_experiments.benchmark.summary import missing, no_noise_score, standings
from mpo_experiments.benchmark.sweep_figure import draw_sweep
from mpo_experiments.benchmark.sweeps import by_size, sweeps
from mpo_experiments.benchmark.tables import (
    Ranked,
    cell_table,
    judge_table,
    overview_table,
    ranges_table,
    scores_table,
)
from mpo_experiments.text_table import TextTable

PROTOCOL = (
    "Every objective was tuned by the same search of settings on the tuning stream of seeds (its published default "
    "among the settings tried) and its best setting was then run on the reporting stream, which nothing had seen "
    "before. "
    "All objectives share units; a unit has its own data, label noise, training seed and evaluation episodes. "
    "The search's tuning score is an optimistic one and is not shown. See docs/protocol.md. "
    "Columns: P(> sft), probability that a random unit is above a random one of SFT; clamped, share of mean log-probs "
    "so close to 0 that a logit of them is taken at -1e-6; failed, units whose training was not finite, which score "
    f"{FAILED_SCORE:g}; detectable, the difference that so many units would have shown with power 0.8."
)


def write_benchmark(
    folder: Path, keys: list[CellKey], cells: list[BenchmarkCell], settings: BenchmarkSettings, *, page: bool = False
) -> list[Path]:
    """All tables and figures of the cells there are; cells of `keys` that are not there are shown as not run.

    Args:
        page: whether to write the page that sorts and filters too.

    Returns:
        The files, the table for people first.
    """
    ranked = {cell.key: standings([cell]) for cell in cells}
    tables = _tables(keys, cells, ranked)
    figures = _figures(folder, cells, ranked)
    markdown, summary = _markdown(keys, cells, tables, settings, figures), _summary(keys, cells, ranked, settings)
    pages = [write_page(folder, leaderboard(keys, cells, ranked, settings))] if page else []
    return write_results(folder, markdown, tables, scores_table(cells), summary) + figures + pages


def write_results(
    folder: Path, markdown: str, tables: list[TextTable], scores: TextTable, summary: dict[str, Any]
) -> list[Path]:
    """The files that every comparison leaves: tables as Markdown and LaTeX, scores as CSV, all of it as JSON.

    Returns:
        The files, the table for people first.
    """
    paths = [folder / name for name in ("results.md", "results.tex", "scores.csv", "summary.json")]
    write_whole(paths[0], markdown.encode())
    write_whole(paths[1], "\n".join(table.latex() for table in tables).encode())
    write_whole(paths[2], scores.csv().encode())
    write_json(paths[3], summary)
    return paths


def _tables(keys: list[CellKey], cells: list[BenchmarkCell], ranked: Ranked) -> list[TextTable]:
    tables = [overview_table(keys, cells, ranked)] if len(keys) > 1 else []
    crossed = (
        judge_table(group, task, ranked)
        for group in by_size(cells).values()
        for task in dict.fromkeys(cell.task for cell in group)
    )
    tables += [table for table in crossed if table is not None]
    for cell in cells:
        gains = differences_table(cell)
        tables += [cell_table(cell, ranked[cell.key])] + ([gains] if gains else [])
    return tables


def _figures(folder: Path, cells: list[BenchmarkCell], ranked: Ranked) -> list[Path]:
    groups = by_size(cells)
    paths = []
    for size, group in groups.items():
        paths.append(folder / ("ranking.png" if len(groups) == 1 else f"ranking-{size}.png"))
        draw_ranking(paths[-1], group, ranked)
    for stale in set(folder.glob("ranking*.png")) - set(paths):  # of fewer sizes, or of more
        stale.unlink()
    for sweep in sweeps(cells):
        paths.append(folder / f"{sweep.name}.png")
        draw_sweep(paths[-1], sweep)
    return paths


def _markdown(
    keys: list[CellKey],
    cells: list[BenchmarkCell],
    tables: list[TextTable],
    settings: BenchmarkSettings,
    figures: list[Path],
) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in cells[0].provenance["versions"].items())
    device = cells[0].provenance["devices"]
    hours = sum(sum(cell.seconds.values()) for cell in cells) / 3600
    absent = ", ".join(str(key) for key in missing(keys, cells))
    lines = [
        "# Benchmark",
        PROTOCOL,
        f"{_budget(settings)}; {settings.units} "
        f"reporting units, preset {settings.preset}, seed {settings.seed}. Took {hours:.1f} h in all on "
        f"{device['count']} x {device['kind']} ({device['platform']}); {versions}.",
        f"Not run: {absent}." if absent else "",
        "\n".join(f"![{path.stem}]({path.name})" for path in figures),
        *(table.markdown() for table in tables),
        "## Ranges searched",
        *(ranges_table(cell).markdown() for cell in _with_ranges_of_their_own(cells)),
    ]
    return "\n\n".join(line.strip() for line in lines if line) + "\n"


def _budget(settings: BenchmarkSettings) -> str:
    """What tuning took; of settings that were found elsewhere, where."""
    tuned = (
        f"{settings.budget} settings an objective on {settings.tuning_units} tuning units, or as many inner loops "
        f"({settings.method}{_also(settings)})"
    )
    if settings.tuned_from is None:
        return f"Budget: {tuned}"
    return f"Settings as they were found in `{settings.tuned_from}`; objectives that it lacks had {tuned}"


def _also(settings: BenchmarkSettings) -> str:
    return f", with {' and '.join(settings.tune)}" if settings.tune else ""


def _with_ranges_of_their_own(cells: list[BenchmarkCell]) -> list[BenchmarkCell]:
    """Ranges that were never extended depend on the task's tokens alone: the first cell of each task shows them."""
    tasks: set[str] = set()
    found = []
    for cell in cells:
        if cell.task not in tasks or any(entry.searched for entry in cell.objectives):
            found.append(cell)
        tasks.add(cell.task)
    return found


def _summary(
    keys: list[CellKey], cells: list[BenchmarkCell], ranked: Ranked, settings: BenchmarkSettings
) -> dict[str, Any]:
    found = [
        {
            **cell.key.as_json(), "command": cell.command, "units": cell.units,
            "standings": [one.as_json() for one in ranked[cell.key]],
            "differences": differences_summary(cell), "original_no_action_noise": no_noise_score(cell),
        }
        for cell in cells
    ]  # fmt: skip
    return {
        "settings": dataclasses.asdict(settings),
        "overall": [one.as_json() for one in standings(cells)],
        "cells": found,
        "not_run": [key.as_json() for key in missing(keys, cells)],
    }
