"""`mpo export`: a loss for programs that know nothing of mpo or JAX."""

from pathlib import Path
from typing import Annotated

import typer

from cli.validation import check_file, interruptible, objective_named, validating_input


def export(
    objective: Annotated[str, typer.Argument(help="id, id:name=value,..., an objective file, or a run folder.")],
    form: Annotated[str, typer.Option("--format", help="torch (a module), json or latex.")] = "torch",
    out: Annotated[Path | None, typer.Option(help="File to write; standard output unless given.")] = None,
) -> None:
    """Export a loss: a self-contained torch module, JSON or LaTeX."""
    with validating_input():
        if out is not None:
            check_file("--out", out)
        named = objective_named(objective)
        from mpo_experiments.objectives.export import export as exported, where_it_bends

        text, note = exported(named, form), where_it_bends(named)
    if note is not None:
        typer.echo(note, err=True)
    if out is None:
        typer.echo(text, nl=False)
        return
    from adapters.storage.files import write_whole

    with interruptible("Nothing was written."):
        write_whole(out, text.encode())
    typer.echo(f"Written to {out}")
