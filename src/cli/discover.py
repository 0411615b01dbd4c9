"""`mpo discover`: the queue of searches that a table of discovered objectives is made from."""

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.benchmark import plan_cells
from cli.validation import MOST_UNITS, check_folder, interruptible, validating_input
from mpo_core.names import unknown_name

if TYPE_CHECKING:
    from mpo_experiments.benchmark.cell import BenchmarkCell, CellKey
    from mpo_experiments.discovery.queue import Discovery, DiscoverySettings
    from mpo_experiments.text_table import TextTable


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
    search_seed: Annotated[int, typer.Option(min=0, help="Seed of the searches.")] = 0,
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
        settings, keys = _plan(task, data, forms, preset, units, tuned_from, (seed, search_seed), set_)
        check_folder("--out", out)
    from cli.display import Display, console, rich_table
    from mpo_experiments.benchmark.folder import BenchmarkFolder
    from mpo_experiments.discovery.queue import Discovery
    from mpo_experiments.discovery.report import short_discovery_table, write_discovery
    from mpo_experiments.progress import SilentReporter

    screen, again = console(), f"Run the same command again: what is finished in {out} is kept."
    with contextlib.ExitStack() as held:
        with validating_input():
            held.enter_context(BenchmarkFolder(out).locked())
            queue = Discovery(out, settings, SilentReporter())
            cells = {key: cell for key in keys if (cell := queue.finished(key)) is not None}
        command = _command(task, data, settings, out, transfer)
        for key in keys:
            if key in cells or only_tables:
                continue
            with interruptible(again), Display(screen) as display:
                queue.reporter = display
                cells[key] = queue.cell(key)
                write_discovery(out, keys, cells, settings.forms, command)
        with interruptible(again):
            paths = write_discovery(out, keys, cells, settings.forms, command)
        screen.print(rich_table(short_discovery_table(keys, cells, settings.forms)))
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
    seeds: tuple[int, int], given: list[str] | None,
) -> "tuple[DiscoverySettings, list[CellKey]]":  # fmt: skip
    from mpo_experiments.benchmark.cell import DEFAULT_IDS, BenchmarkSettings
    from mpo_experiments.discovery.queue import FORMS, DiscoverySettings

    names = tuple(dict.fromkeys(name.strip() for name in forms.split(",")))
    for name in names:
        if name not in FORMS:
            raise unknown_name("form", name, FORMS)
    source = None if tuned_from is None else str(tuned_from)
    zoo = BenchmarkSettings(DEFAULT_IDS, units=units, preset=preset, seed=seeds[0], tuned_from=source)
    settings = DiscoverySettings(names, zoo, seeds[1], tuple(given or []))
    keys = plan_cells(tasks, data, None, zoo)
    for key in keys:
        settings.config(key, "temporal", "tempo")
    return settings, keys


def _command(tasks: list[str], data: list[str] | None, settings: "DiscoverySettings", out: Path, transfer: bool) -> str:
    from mpo_experiments.settings.command import written_command

    zoo = settings.zoo
    return written_command(
        "discover",
        {
            "task": tuple(tasks), "data": tuple(data or ["mixed:0.75"]), "forms": settings.forms, "preset": zoo.preset,
            "units": zoo.units, "seed": zoo.seed, "search_seed": settings.search_seed, "out": out,
            "tuned_from": zoo.tuned_from, "set": list(settings.overrides), "transfer": transfer,
        },
    )  # fmt: skip
