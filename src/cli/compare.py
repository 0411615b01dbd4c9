"""`mpo compare`: searches that differ in some settings, repeated, on the same fresh units."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.benchmark import plan_cells
from cli.tuning_options import TuningOption, check_tuning
from cli.validation import (
    LAST_SEED,
    MOST_UNITS,
    check_folder,
    interruptible,
    locked,
    objective_ids_named,
    objective_named,
    validating_input,
)

if TYPE_CHECKING:
    from mpo_experiments.compare.variants import VariantSettings
    from mpo_experiments.tuning.plan import Method

MOST_REPEATS = 100


def compare(
    task: Annotated[str, typer.Option(help="Task.")],
    variant: Annotated[
        list[str],
        typer.Option(help="A kind of search, 'NAME: SETTING=VALUE ...'; repeat. Others are compared with the first."),
    ],
    data: Annotated[str, typer.Option(help="Kind of data.")] = "mixed:0.75",
    init: Annotated[str, typer.Option(help="Objective that all searches start from.")] = "orpo",
    repeats: Annotated[int, typer.Option(min=2, max=MOST_REPEATS, help="Searches a variant, a seed each.")] = 3,
    objectives: Annotated[str, typer.Option(help="Hand-written objectives beside, comma-separated.")] = "sft",
    preset: Annotated[str, typer.Option(help="Size of everything: smoke, quick or paper.")] = "quick",
    units: Annotated[int, typer.Option(min=2, max=MOST_UNITS, help="Reporting units of the table.")] = 20,
    tuned_from: Annotated[
        Path | None,
        typer.Option(help="A finished benchmark's folder with tuned settings of --objectives; tuned here otherwise."),
    ] = None,
    tuning: TuningOption = "halving",
    seed: Annotated[int, typer.Option(min=0, help="Seed of the report.")] = 0,
    search_seed: Annotated[
        int, typer.Option(min=0, max=LAST_SEED - MOST_REPEATS, help="Seed of the first search of every variant.")
    ] = 0,
    out: Annotated[Path, typer.Option(help="Folder of runs and tables; continued if it is there.")] = Path("compare"),
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="A setting of all searches: --set search.generations=24.")
    ] = None,
) -> None:
    """Compare strategies at equal cost, or leave parts of a search out; continues where it was left."""
    with validating_input():
        settings = _plan(
            (task, data), variant, (init, objectives), repeats, preset, units, tuned_from, (seed, search_seed), set_,
            check_tuning(tuning, None)[0],
        )  # fmt: skip
        check_folder("--out", out)
    from cli.display import Display, console, rich_table
    from mpo_experiments.compare.tables import short_variants_table, variants_table, write_variants
    from mpo_experiments.compare.variants import VariantComparison, beside
    from mpo_experiments.progress import SilentReporter

    screen, again = console(), f"Run the same command again: what is finished in {out} is kept."
    comparison = VariantComparison(out, settings, SilentReporter())
    with locked("--out", out):
        with validating_input():
            comparison.check()
        with interruptible(again), Display(screen) as display:
            comparison.reporter = display
            cell, found = comparison.run()
        others = beside(cell, settings)
        table = variants_table(found, others)
        with interruptible(again):
            paths = write_variants(out, cell, found, table, _command(settings, out))
    screen.print(rich_table(short_variants_table(found, others)))
    for path in paths:
        screen.print(f"Written to {path}", soft_wrap=True, markup=False)


def _plan(
    where: tuple[str, str], variants: list[str], ids: tuple[str, str], repeats: int, preset: str, units: int,
    tuned_from: Path | None, seeds: tuple[int, int], given: list[str] | None, method: "Method",
) -> "VariantSettings":  # fmt: skip
    init = objective_named(ids[0])
    from mpo_experiments.benchmark.cell import BenchmarkSettings
    from mpo_experiments.compare.variants import VariantSettings, parse_variant

    source = None if tuned_from is None else str(tuned_from)
    beside = BenchmarkSettings(
        objective_ids_named(ids[1]), units=units, preset=preset, seed=seeds[0], tuned_from=source, method=method
    )
    keys = plan_cells([where[0]], [where[1]], beside)
    if len(keys) > 1:
        raise ValueError("mpo compare takes one task and one kind of data")
    parsed = tuple(map(parse_variant, variants))
    settings = VariantSettings(keys[0], parsed, repeats, init.resolved(), seeds[1], beside, tuple(given or []))
    if len({one.slug for one in parsed}) < len(parsed):
        raise ValueError("--variant: two have the same name")
    for one in parsed:
        settings.config(one, 0)
    return settings


def _command(settings: "VariantSettings", out: Path) -> str:
    from mpo_experiments.settings.command import written_command

    beside = settings.benchmark
    return written_command(
        "compare",
        {
            "task": settings.key.task, "data": settings.key.data, "init": settings.init,
            "variant": [f"{one.name}: {' '.join(one.overrides)}" for one in settings.variants],
            "repeats": settings.repeats, "objectives": beside.objectives, "preset": beside.preset,
            "units": beside.units, "seed": beside.seed, "search_seed": settings.search_seed, "out": out,
            "tuned_from": beside.tuned_from, "tuning": None if beside.tuned_from else beside.method,
            "set": list(settings.overrides),
        },
    )  # fmt: skip
