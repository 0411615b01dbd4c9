"""`mpo discover`: the queue of searches that a table of discovered objectives is made from."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.benchmark import plan_cells
from cli.tuning_options import TuneOption, TuningOption, check_tuning
from cli.validation import (
    LAST_SEED,
    MOST_UNITS,
    check_folder,
    interruptible,
    locked,
    validating_input,
)
from mpo_core.names import unknown_name

if TYPE_CHECKING:
    from mpo_experiments.benchmark.cell import BenchmarkCell, CellKey
    from mpo_experiments.discovery.queue import Discovery, DiscoverySettings
    from mpo_experiments.text_table import TextTable
    from mpo_experiments.tuning.plan import Method

MOST_SEARCHES = 1000


def discover(
    task: Annotated[list[str], typer.Option(help="Tasks; repeat, or join by commas.")],
    data: Annotated[list[str] | None, typer.Option(help="Kinds of data; likewise. Default: mixed:0.75.")] = None,
    forms: Annotated[str, typer.Option(help="static, temporal or both.")] = "static,temporal",
    preset: Annotated[str, typer.Option(help="Size of everything: smoke, quick or paper.")] = "quick",
    units: Annotated[int, typer.Option(min=2, max=MOST_UNITS, help="Reporting units of the table.")] = 20,
    tuned_from: Annotated[
        Path | None,
        typer.Option(help="A finished benchmark's folder with the tuned settings; tuned here unless given."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of tuning and report.")] = 0,
    search_seed: Annotated[
        int, typer.Option(min=0, max=LAST_SEED - MOST_SEARCHES, help="Seed of a cell's first search of each form.")
    ] = 0,
    search_seeds: Annotated[
        int, typer.Option(min=1, max=MOST_SEARCHES, help="Searches of each form in a cell, a seed each.")
    ] = 1,
    tuning: TuningOption = "halving",
    tune: TuneOption = None,
    out: Annotated[Path, typer.Option(help="Folder of runs, cells and tables; continued if it is there.")] = Path(
        "discovery"
    ),
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="A setting of the searches: --set search.generations=60.")
    ] = None,
    transfer: Annotated[
        bool, typer.Option("--transfer", help="Then use what was found in each finished cell in all the others.")
    ] = False,
    only_tables: Annotated[
        bool, typer.Option("--only-tables", help="Run nothing: tables of the cells there are.")
    ] = False,
) -> None:
    """Search in every cell and meet the tuned zoo on fresh units; continues where it was left."""
    with validating_input():
        how = check_tuning(tuning, tune)
        seeds = (seed, search_seed, search_seeds)
        settings, keys = _plan(task, data, forms, preset, units, tuned_from, seeds, set_, how, not only_tables)
        check_folder("--out", out)
    from cli.display import Display, console, rich_table
    from mpo_experiments.discovery.queue import Discovery
    from mpo_experiments.discovery.report import Discoveries, short_discovery_table, write_discovery
    from mpo_experiments.progress import SilentReporter

    screen, again = console(), f"Run the same command again: what is finished in {out} is kept."
    with locked("--out", out):
        with validating_input():
            queue = Discovery(out, settings, SilentReporter())
            cells = {key: cell for key in keys if (cell := queue.finished(key)) is not None}
            if only_tables and not cells:
                raise ValueError(f"--only-tables: {out} holds none of these cells")
        command = _command(task, data, settings, out, transfer)
        found = Discoveries(keys, cells, settings.forms, command, _budget(keys, settings))
        for key in keys:
            if key in cells or only_tables:
                continue
            with interruptible(again), Display(screen) as display:
                queue.reporter = display
                cells[key] = queue.cell(key)
                write_discovery(out, found)
        with interruptible(again):
            paths = write_discovery(out, found)
        screen.print(rich_table(short_discovery_table(found)))
        if transfer:
            finished = {key: cells[key] for key in keys if key in cells}
            with interruptible(again), Display(screen) as display:
                queue.reporter = display
                table, more = _carried_over(queue, finished, command, only_tables)
            screen.print(rich_table(table))
            paths = [*paths, *more]
    for path in paths:
        screen.print(f"Written to {path}", soft_wrap=True, markup=False)


def _carried_over(
    queue: "Discovery", finished: "dict[CellKey, BenchmarkCell]", command: str, only_tables: bool
) -> "tuple[TextTable, list[Path]]":
    """What was found in each cell, in all others: a short table, and the files with the long one."""
    from mpo_experiments.discovery.carry_over import Transfer
    from mpo_experiments.discovery.carry_over_report import carried, counts_table, write_carried

    transfer = Transfer(queue)
    found = {key: transfer.there(key) if only_tables else transfer.cell(key, finished) for key in finished}
    cells = {key: cell for key, cell in found.items() if cell is not None}
    what = carried(transfer, finished, cells)
    return counts_table(what), write_carried(queue.path, what, list(cells.values()), command)


def _plan(
    tasks: list[str], data: list[str] | None, forms: str, preset: str, units: int, tuned_from: Path | None,
    seeds: tuple[int, int, int], given: list[str] | None, how: "tuple[Method, tuple[str, ...]]",
    to_run: bool,
) -> "tuple[DiscoverySettings, list[CellKey]]":  # fmt: skip
    from mpo_experiments.benchmark.cell import DEFAULT_IDS, BenchmarkSettings
    from mpo_experiments.discovery.queue import FORMS, DiscoverySettings

    names = tuple(dict.fromkeys(name.strip() for name in forms.split(",")))
    for name in names:
        if name not in FORMS:
            raise unknown_name("form", name, FORMS)
    source = None if tuned_from is None else str(tuned_from)
    zoo = BenchmarkSettings(DEFAULT_IDS, units=units, preset=preset, seed=seeds[0], tuned_from=source)
    zoo = dataclasses.replace(zoo, method=how[0], tune=how[1])
    settings = DiscoverySettings(names, zoo, seeds[1], tuple(given or []), seeds[2])
    keys = plan_cells(tasks, data, zoo, to_run=to_run)
    for key in keys:
        settings.config(key, "temporal", "tempo")
    return settings, keys


def _budget(keys: "list[CellKey]", settings: "DiscoverySettings") -> str:
    """What a search and the tuning of a loss take."""
    from mpo_core.settings import updates_of
    from mpo_experiments.settings.budget import search_loops, search_updates

    config = settings.config(keys[0], settings.forms[0], "orpo").cells()[0]
    text = f"A search takes {search_loops(config)} inner loops, {search_updates(config):,} updates"
    zoo = settings.zoo
    if zoo.tuned_from is None:
        loops = zoo.budget * zoo.tuning_units
        text += f"; tuning a loss {loops} inner loops, {updates_of(loops, config.rows, config.inner):,} updates"
        text += ", more where ranges are extended" if zoo.method == "halving" else ""
    return f"{text}."


def _command(tasks: list[str], data: list[str] | None, settings: "DiscoverySettings", out: Path, transfer: bool) -> str:
    from mpo_experiments.settings.command import written_command

    zoo = settings.zoo
    return written_command(
        "discover",
        {
            "task": tuple(tasks), "data": tuple(data or ["mixed:0.75"]), "forms": settings.forms, "preset": zoo.preset,
            "units": zoo.units, "seed": zoo.seed, "search_seed": settings.search_seed, "out": out,
            "search_seeds": settings.searches if settings.searches > 1 else None, "tuned_from": zoo.tuned_from,
            "tuning": None if zoo.tuned_from else zoo.method, "tune": zoo.tune or None,
            "set": list(settings.overrides), "transfer": transfer,
        },
    )  # fmt: skip
