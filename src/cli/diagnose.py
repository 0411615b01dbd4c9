"""`mpo diagnose`: what a preference data set is like, before anything is trained on it."""

from pathlib import Path
from typing import Annotated

import typer

from cli.align import EXTRA, MOST_TOKENS, settle
from cli.context import Context, check_read
from cli.validation import check_extra, check_file, interruptible, validating_input


def diagnose(
    context: Context,
    dataset: Annotated[str, typer.Option(help="Pairs: a local file, a saved folder, or a hub id.")],
    model: Annotated[
        str | None, typer.Option(help="The model that is to be trained: its view of both sides, its tokens.")
    ] = None,
    split: Annotated[str, typer.Option(help="Split of a hub data set or saved folder.")] = "train",
    limit: Annotated[int | None, typer.Option(min=1, help="Only so many rows, from the first.")] = None,
    max_length: Annotated[int, typer.Option(min=2, max=MOST_TOKENS, help="Tokens of prompt and response.")] = 1024,
    batch: Annotated[int, typer.Option(min=1, help="Rows at once.")] = 8,
    as_json: Annotated[bool, typer.Option("--json", help="Print all numbers as a JSON object.")] = False,
    out: Annotated[Path | None, typer.Option(help="File for one HTML page that needs nothing else.")] = None,
) -> None:
    """Count and estimate what is wrong with preference pairs: ties, duplicates, flipped labels, lengths, log-probs."""
    with validating_input():
        if out is not None:
            check_file("--out", out)
        check_read(context, model is not None, "goes with --model", "max_length", "batch")
        check_extra("mpo diagnose", EXTRA)
        settle()
        from adapters.torch.trl_run import quiet

        quiet()
        from mpo_experiments.diagnose.run import Request, read

        found = read(Request(dataset, split, model, limit, max_length, batch))
    from rich.console import Console

    from cli.display import Display, console, rich_table
    from mpo_experiments.diagnose.report import as_json as json_of, facts, remarks, write_page
    from mpo_experiments.diagnose.run import diagnose as diagnosed

    screen = Console(stderr=True, highlight=False) if as_json else console()
    with interruptible("Nothing was written."), Display(screen) as display, validating_input():
        told = diagnosed(found, display)
    if as_json:
        import json

        typer.echo(json.dumps(json_of(told), indent=2))
    else:
        for name, value in facts(told):
            screen.print(f"{name:<24} {value}", soft_wrap=True, markup=False)
        screen.print()
        for remark in remarks(told):
            screen.print(remark, soft_wrap=True, markup=False)
        screen.print()
        screen.print(rich_table(told.nearest.table))
    if out is not None:
        with interruptible("The page was not written."):
            write_page(out, told)
        screen.print(f"Written to {out}", soft_wrap=True, markup=False)
