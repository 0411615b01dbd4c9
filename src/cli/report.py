"""`mpo report`: the table of a finished run again, and several runs pooled."""

from pathlib import Path
from typing import Annotated

import typer

from cli.door import at_the_door, check_file


def report(
    runs: Annotated[list[Path], typer.Argument(help="Run folders of finished runs.")],
    out: Annotated[Path | None, typer.Option(help="File for the numbers, as JSON.")] = None,
) -> None:
    """Show finished runs: each one's table, and the paired differences of all of them together."""
    with at_the_door():
        from adapters.report import load_reports, pooled_differences

        reports = load_reports(runs)
        if out is not None:
            check_file("--out", out)
    from rich.text import Text

    from cli.display import console, difference_lines, report_table

    screen = console()
    for path, found in zip(runs, reports, strict=True):
        screen.print(Text.assemble((path.name, "bold"), f", seed {found.seed}"), soft_wrap=True)
        screen.print(report_table(found))
        for line in difference_lines(found):
            screen.print(line)
        screen.print()
    pooled = pooled_differences(reports)
    if len(reports) > 1:
        screen.print(f"[bold]{len(reports)} runs pooled[/]: discovered minus each row, paired by unit")
        for name, interval in pooled.items():
            screen.print(f"  {name:<12} {interval}   n = {interval.units}")
    if out is not None:
        import dataclasses

        from adapters.files import write_json

        with at_the_door():
            write_json(out, {name: dataclasses.asdict(interval) for name, interval in pooled.items()})
