"""`mpo benchmark`: objectives tuned alike and ranked on kinds of data."""

import itertools
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.context import Context, check_read
from cli.tuning_options import TuneOption, TuningOption, check_tuning
from cli.validation import (
    MOST_SETTINGS,
    MOST_UNITS,
    check_folder,
    interruptible,
    locked,
    objective_ids_named,
    validating_input,
)

CELLS_SHOWN = 4
"""Of more cells, the terminal shows what they say together; the files have them all."""

if TYPE_CHECKING:
    from rich.console import Console

    from mpo_experiments.benchmark.cell import BenchmarkCell, BenchmarkSettings, CellKey
    from mpo_experiments.benchmark.folder import BenchmarkFolder
    from mpo_experiments.tuning.plan import Method


def benchmark(
    context: Context,
    task: Annotated[list[str], typer.Option(help="Tasks; repeat, or join by commas.")],
    data: Annotated[list[str] | None, typer.Option(help="Kinds of data; likewise. Default: mixed:0.75.")] = None,
    objectives: Annotated[
        str | None,
        typer.Option(
            help="Ids and objective files, comma-separated; all: every hand-written loss; discovered: every objective "
            "that comes with mpo. Default: the paper's ten baselines and tempo. A saved one that is added to finished "
            "cells is run alone."
        ),
    ] = None,
    budget: Annotated[
        int,
        typer.Option(min=1, max=MOST_SETTINGS, help="Inner loops an objective, in settings that are on all units."),
    ] = 16,
    tuning_units: Annotated[
        int, typer.Option(min=2, max=MOST_UNITS, help="Tuning units each setting is scored on.")
    ] = 4,
    units: Annotated[int, typer.Option(min=2, max=MOST_UNITS, help="Reporting units of the table.")] = 12,
    preset: Annotated[str, typer.Option(help="Rows, length and inner loop as in this preset.")] = "quick",
    seed: Annotated[int, typer.Option(min=0, help="Seed of both streams of units.")] = 0,
    bin_width: Annotated[list[float] | None, typer.Option(help="Token widths in action units; repeat. [0.1]")] = None,
    rows: Annotated[
        list[str] | None, typer.Option(help="Pairs a unit; repeat, or join by commas. Default: the preset's.")
    ] = None,
    tuned_from: Annotated[
        Path | None, typer.Option(help="A finished benchmark's folder: its objectives keep the settings found there.")
    ] = None,
    tuning: TuningOption = "halving",
    tune: TuneOption = None,
    out: Annotated[Path, typer.Option(help="Folder of cells, tables and figures; continued if it is there.")] = Path(
        "benchmark"
    ),
    pairs: Annotated[
        Path | None,
        typer.Option(help="Folder to keep the units' pairs in: what is there is not rolled out again."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what it would cost; an estimate.")] = False,
    measure: Annotated[
        bool, typer.Option("--measure", help="With --dry-run: measure on each task, which compiles its programs first.")
    ] = False,
    only_tables: Annotated[
        bool, typer.Option("--only-tables", help="Run nothing: tables of the cells there are.")
    ] = False,
    page: Annotated[
        bool,
        typer.Option("--page", help="Also write leaderboard.html: a page to sort and filter, without network."),
    ] = False,
) -> None:
    """Tune objectives under one budget and rank them on fresh units; continues where it was left."""
    with validating_input():
        how = check_tuning(tuning, tune)
        settings = _settings(objectives, budget, tuning_units, units, preset, seed, tuned_from, how)
        keys = plan_cells(task, data, settings, bin_widths=bin_width, rows=rows, to_run=not only_tables)
        check_folder("--out", out)
        if pairs is not None:
            check_folder("--pairs", pairs)
        check_read(context, dry_run, "goes with --dry-run", "measure")
        check_read(context, not dry_run, "does nothing beside --dry-run", "only_tables", "pairs", "page")
        check_read(context, not only_tables, "does nothing beside --only-tables", "pairs")
    from mpo_experiments.benchmark.folder import BenchmarkFolder

    folder = BenchmarkFolder(out)
    if dry_run:
        _say_cost(folder, keys, settings, measure)
        return
    with locked("--out", out):
        with validating_input():
            there = [cell for key in keys if (cell := folder.cell(key, settings)) is not None]
            if only_tables:
                _check_there(folder, keys, settings, len(there))
            beside, left_out = folder.beside(keys, settings)
        _run(folder, keys, settings, there if only_tables else None, beside, page, pairs)
    if left_out:
        typer.echo(
            f"The tables in {out} leave out {len(left_out)} of its cells, whose files are kept: {left_out[0]}"
            f"{' ...' if len(left_out) > 1 else ''}"
        )


def _run(
    folder: "BenchmarkFolder", keys: "list[CellKey]", settings: "BenchmarkSettings",
    there: "list[BenchmarkCell] | None", beside: "list[BenchmarkCell]", page: bool, pairs: Path | None,
) -> None:  # fmt: skip
    """Runs what is not there, and writes the tables of the whole folder.

    Args:
        there: the cells that are asked for, if nothing is to be run.
        beside: the other cells of the folder that its tables hold.
    """
    from cli.display import Display, console
    from mpo_experiments.benchmark.run import run_benchmark

    again = f"Run the same command again: finished cells in {folder.path}, and every score so far, are kept."
    screen = console()
    with interruptible(again), Display(screen) as display:
        cells = run_benchmark(keys, settings, folder, display, pairs) if there is None else there
    from mpo_experiments.benchmark.report import write_benchmark

    with interruptible(again):
        every = [*cells, *beside]
        listed = dict.fromkeys([*(cell.key for cell in every), *keys])  # those that were not run come last
        paths = write_benchmark(folder.path, list(listed), every, settings, page=page)
    _show(screen, cells, paths)


def _check_there(folder: "BenchmarkFolder", keys: "list[CellKey]", settings: "BenchmarkSettings", there: int) -> None:
    """Refuses tables of cells of which there are none, or of one that lacks an objective."""
    from mpo_experiments.benchmark.folder import lacking

    for key in keys:
        begun = folder.begun(key, settings)
        if begun is not None and (ids := lacking(begun, settings)):
            raise ValueError(f"--only-tables: the cell of {key} has no {ids[0]} yet: run it without --only-tables")
    if not there:
        raise ValueError(f"--only-tables: {folder.path} holds none of these cells")


def _say_cost(folder: "BenchmarkFolder", keys: "list[CellKey]", settings: "BenchmarkSettings", measure: bool) -> None:
    from mpo_experiments.benchmark.cost import describe_cost, still_to_run

    with validating_input():
        left = still_to_run(keys, settings, folder)
    if measure:
        typer.echo("Measuring rates (compiles each task's programs)...", err=True)
    with interruptible("Nothing was written."):
        for line in describe_cost(left, measure=measure):
            typer.echo(line)


def _show(screen: "Console", cells: "list[BenchmarkCell]", paths: list[Path]) -> None:
    from cli.results import print_results
    from mpo_experiments.benchmark.difference_tables import short_differences_table
    from mpo_experiments.benchmark.summary import standings
    from mpo_experiments.benchmark.tables import overall_table, short_table

    tables = [overall_table(cells)] if len(cells) > 1 else []
    if len(cells) <= CELLS_SHOWN:
        for cell in cells:
            tables += [short_table(cell, standings([cell])), short_differences_table(cell)]
    print_results(screen, tables, f"One cell again: {cells[-1].command}", paths)


def _settings(
    objectives: str | None, budget: int, tuning_units: int, units: int, preset: str, seed: int,
    tuned_from: Path | None, how: "tuple[Method, tuple[str, ...]]",
) -> "BenchmarkSettings":  # fmt: skip
    from mpo_experiments.benchmark.cell import DEFAULT_IDS, BenchmarkSettings

    ids = DEFAULT_IDS if objectives is None else objective_ids_named(objectives)
    source = None if tuned_from is None else str(tuned_from)
    return BenchmarkSettings(ids, budget, tuning_units, units, preset, seed, source, *how)


def plan_cells(
    tasks: list[str], data: list[str] | None, settings: "BenchmarkSettings", *,
    bin_widths: list[float] | None = None, rows: list[str] | None = None, to_run: bool = True,
) -> "list[CellKey]":  # fmt: skip
    """The cells that are asked for, each checked; tasks and kinds of data may be joined by commas.

    Args:
        rows: numbers of pairs, which may be joined by commas; None: the preset's.
        to_run: whether they are to be run, and so need agents for their data, and settings to borrow if any are named.

    Raises:
        ValueError: one sentence: what, where, what is allowed.
    """
    from mpo_core.data.specification import parse_data_spec
    from mpo_experiments.agents.lookup import check_agents
    from mpo_experiments.benchmark.cell import DEFAULT_WIDTH, CellKey
    from mpo_experiments.benchmark.folder import BenchmarkFolder
    from mpo_experiments.settings.listed import split_data
    from mpo_experiments.tasks.registry import task_spec

    names = [name for text in tasks for name in text.split(",")]
    kinds = [str(parse_data_spec(part)) for text in data or ["mixed:0.75"] for part in split_data(text)]
    widths = [float(f"{width:g}") for width in bin_widths or [DEFAULT_WIDTH]]  # as in the names of cells
    for width in widths:
        if not 1e-6 <= width <= 1:
            raise ValueError(f"--bin-width {width}: must be at least 1e-6 and at most 1 (action units)")
    words = [name for name in names if task_spec(name).of_words]
    if words and widths != [DEFAULT_WIDTH]:
        raise ValueError(f"--bin-width: the actions of task {words[0]!r} are tokens already")
    counts = [None] if rows is None else [_count(part) for text in rows for part in text.split(",")]
    asked = itertools.product(widths, counts, names, kinds)
    keys = list(dict.fromkeys(CellKey(name, kind, width, count) for width, count, name, kind in asked))
    for key in keys:
        settings.config(key)
        if not to_run:
            continue
        check_agents(key.task, [key.data])
        if settings.tuned_from is not None:
            BenchmarkFolder(Path(settings.tuned_from)).borrowed(key, settings)
    return keys


def _count(text: str) -> int:
    """A number of pairs."""
    if not text.strip().isdecimal():
        raise ValueError(f"--rows {text!r}: must be whole numbers of pairs, joined by commas")
    return int(text)
