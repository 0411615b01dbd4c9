"""`mpo show`: what an objective does, in figures."""

from pathlib import Path
from typing import Annotated

import typer

from cli.context import Context, check_read
from cli.validation import LAST_SEED, MOST_UNITS, check_folder, interruptible, objective_named, validating_input


def show(
    context: Context,
    what: Annotated[str, typer.Argument(metavar="WHAT", help="A run folder, an objective file, or id:name=value,...")],
    task: Annotated[str | None, typer.Option(help="Task to train on; a run's own unless given.")] = None,
    data: Annotated[str | None, typer.Option(help="Preference data; a run's own unless given.")] = None,
    preset: Annotated[str | None, typer.Option(help="Rows, length and inner loop as in this preset.")] = None,
    low: Annotated[
        float | None,
        typer.Option("--range", metavar="LOW", help="No simulator: mean token log-probs from LOW up."),
    ] = None,
    train: Annotated[bool, typer.Option("--train", help="Return curves as well: judges every epoch.")] = False,
    units: Annotated[int, typer.Option(min=2, max=MOST_UNITS, help="Units of the return curves.")] = 4,
    seed: Annotated[int, typer.Option(min=0, max=LAST_SEED, help="Seed of the units.")] = 0,
    out: Annotated[Path | None, typer.Option(help="Folder; the run's own, or show-<objective>.")] = None,
) -> None:
    """Show an objective beside TeMPO, DPO, ORPO and SimPO: its functions, gradient field, weights, one HTML report."""
    with validating_input():
        check_read(context, train, "goes with --train", "units")
        named = objective_named(what)
        from mpo_experiments.show.plan import ShowRequest, make_plan

        plan = make_plan(ShowRequest(named, task, data, preset, low, units if train else None, seed, out))
        check_folder("--out", plan.out)
        if plan.run is not None and plan.out == plan.run[0].path:
            plan.run[0].lock()
    from cli.display import Display, console
    from mpo_experiments.show.report import write_report

    screen = console()
    with interruptible("What was drawn so far is kept; the report was not written."), Display(screen) as display:
        path = write_report(plan, display)
    screen.print(f"Written to {path}, figures as PNG in {path.parent / 'figures'}", soft_wrap=True, markup=False)
