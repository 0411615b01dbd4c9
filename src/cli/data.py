"""`mpo data`: what a kind of preference data holds."""

from typing import Annotated

import typer

from cli.door import at_the_door, interruptible

app = typer.Typer(help="Preference data.", no_args_is_help=True)


@app.callback()
def _options() -> None:
    """Preference data."""


@app.command()
def describe(
    task: Annotated[str, typer.Option(help="Task whose agents make the data.")],
    data: Annotated[str, typer.Option(help="Specification, such as mixed:0.75+noisy:0.1.")],
    rows: Annotated[int, typer.Option(min=2, help="Rows to roll out.")] = 64,
    length: Annotated[int, typer.Option(min=1, help="Steps of a trajectory.")] = 200,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the data.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object.")] = False,
) -> None:
    """Roll out a small sample of a dataset and say what is in it."""
    with at_the_door():
        from adapters.agents import load_card
        from mpo_core.data_spec import parse_data_spec
        from mpo_core.settings import RowSettings

        spec, size = parse_data_spec(data), RowSettings(rows, length)
        load_card(task)
    import json

    from adapters.arena import Arena
    from adapters.description import describe_rows
    from cli.display import Display, console

    screen = console()
    if as_json:
        from adapters.watch import Silent

        typer.echo(json.dumps(describe_rows(Arena(task), spec, size, seed, Silent()), indent=2))
        return
    with interruptible("Nothing was written."), Display(screen) as display:
        found = describe_rows(Arena(task), spec, size, seed, display)
    for name, value in found.items():
        screen.print(f"{name.replace('_', ' '):<34} {f'{value:.4g}' if isinstance(value, float) else value}")
