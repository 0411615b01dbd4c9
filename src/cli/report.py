"""`mpo report`: the table of a finished run again, and several runs pooled."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.validation import check_file, validating_input

if TYPE_CHECKING:
    from mpo_experiments.runs.report import RunReport


def report(
    runs: Annotated[list[Path], typer.Argument(help="Run folders of finished runs.")],
    out: Annotated[Path | None, typer.Option(help="File for the numbers, as JSON.")] = None,
) -> None:
    """Show finished runs: each one's table, and the paired differences of all of them together."""
    with validating_input():
        from mpo_experiments.runs.report import load_reports, pooled_differences

        reports = load_reports(runs)
        if out is not None:
            check_file("--out", out)
    from rich.text import Text

    from cli.display import console, report_lines

    screen = console()
    for path, found in zip(runs, reports, strict=True):
        screen.print(Text.assemble((path.name, "bold"), f", seed {found.seed}"), soft_wrap=True)
        for line in report_lines(found):
            screen.print(line)
        screen.print()
    overall = [found.overall() for found in reports]
    pooled, in_mode = pooled_differences(overall), pooled_differences(overall, mode=True)
    if len(reports) > 1:
        over = ", mean of the combinations" if len(reports[0].cells) > 1 else ""
        screen.print(f"[bold]{len(reports)} runs pooled[/]: discovered minus each row, paired by unit{over}")
        for name, interval in pooled.items():
            screen.print(f"  {name:<12} {interval}   mode {in_mode[name]}   n = {interval.units}")
    if out is not None:
        import dataclasses

        from adapters.storage.files import write_json

        with validating_input():
            numbers = {name: dataclasses.asdict(interval) for name, interval in pooled.items()}
            mode = {name: dataclasses.asdict(interval) for name, interval in in_mode.items()}
            write_json(out, numbers | {"mode": mode} | _by_cell(reports))


def _by_cell(reports: "list[RunReport]") -> dict[str, Any]:
    """The same differences in each combination of task and data, where there are several."""
    import dataclasses

    from mpo_experiments.runs.report import pooled_differences

    found: dict[str, Any] = {}
    if len(reports[0].cells) > 1:
        for cells in zip(*(report.cells for report in reports), strict=True):
            pooled = pooled_differences(cells)
            found[cells[0].title] = {name: dataclasses.asdict(interval) for name, interval in pooled.items()}
    return {"cells": found} if found else {}
