"""`mpo list`: what there is."""

import json
from typing import Annotated, Any

import typer

app = typer.Typer(help="List tasks, objectives, strategies and kinds of data.", no_args_is_help=True)
LEGEND = """
w chosen, l rejected; lw, ll summed log-probs; mw, ml their means over nw, nl
tokens; rw, rl sums under the reference; a = lw - rw, b = ll - rl, D = a - b,
A = a / nw, B = b / nl, P = lw - ll; m reward margin; t progress.
member: place in the Mirror Preference Optimization class: M0 without, MR with
reference; -bar on mean token log-probs; ~row up to a constant of the row."""
AsJson = Annotated[bool, typer.Option("--json", help="Print a JSON array of objects with a name.")]


@app.command()
def tasks(as_json: AsJson = False) -> None:
    """Tasks with the return of their original and target agents (sampled actions, 95 % interval)."""
    from adapters.agents import AgentsCard, load_card
    from adapters.tasks import TASKS

    def returns(card: AgentsCard, role: str) -> dict[str, float]:
        return getattr(card, role).sampled.model_dump(by_alias=True)

    found = []
    for spec in TASKS.values():
        try:
            card = load_card(spec.name)
        except ValueError as error:  # a task is there even if its agents are not
            typer.echo(str(error), err=True)
            card = None
        agents = {role: returns(card, role) if card else None for role in ("original", "target")}
        found.append({"name": spec.name, "backend": spec.backend, "description": spec.description} | agents)
    _show(found, as_json, ("name", "backend", "original", "target"))


@app.command()
def objectives(as_json: AsJson = False) -> None:
    """Hand-written objectives."""
    from adapters.objective_files import canonical_text
    from mpo_core.catalogue import catalogue

    found = [
        {
            "name": entry.id, "family": entry.family, "member": entry.member, "formula": entry.formula,
            "settings": canonical_text(entry.id).partition(":")[2], "needs_reference": entry.needs_reference,
            "length_normalised": entry.length_normalised, "sees_rewards": entry.sees_rewards,
            "sft_epochs": entry.sft_epochs, "citation": entry.citation,
        }
        for entry in catalogue()
    ]  # fmt: skip
    _show(found, as_json, ("name", "member", "settings", "formula"))
    if not as_json:
        typer.echo(LEGEND)


@app.command()
def strategies(as_json: AsJson = False) -> None:
    """Evolution strategies that `--strategy` takes."""
    from adapters.strategy_names import strategy_description, strategy_names

    found = [{"name": name, "description": strategy_description(name)} for name in strategy_names()]
    _show(found, as_json, ("name", "description"))


@app.command()
def data(as_json: AsJson = False) -> None:
    """Terms of a data specification; join them by + in any order."""
    from mpo_core.data_spec import TERMS

    _show([{"name": name, "description": text} for name, text in TERMS.items()], as_json, ("name", "description"))


def _show(found: list[dict[str, Any]], as_json: bool, columns: tuple[str, ...]) -> None:
    if as_json:
        typer.echo(json.dumps(found, indent=2))
        return
    from rich.table import Table

    from cli.display import console

    table = Table(show_edge=False, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold", no_wrap=column in ("name", "original", "target"))
    for entry in found:
        table.add_row(*(_cell(entry[column]) for column in columns))
    console().print(table)


def _cell(value: Any) -> str:
    if isinstance(value, dict):
        return f"{value['return']:.0f} [{value['low']:.0f}, {value['high']:.0f}]"
    return "-" if value is None else str(value)
