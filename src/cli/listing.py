"""`mpo list`: what there is."""

import json
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.validation import validating_input
from mpo_core.names import unknown_name
from mpo_core.settings import AGENTS

if TYPE_CHECKING:
    from mpo_core.losses.catalogue import CatalogueEntry, Setting

app = typer.Typer(help="List tasks, objectives, strategies and kinds of data.", no_args_is_help=True)
LEGEND = """
w chosen, l rejected; lw, ll summed log-probs; mw, ml their means over nw, nl
tokens; rw, rl sums under the reference; a = lw - rw, b = ll - rl, D = a - b,
A = a / nw, B = b / nl, P = lw - ll; m reward margin; t progress.
member: place in the Mirror Preference Optimization class: M0 without, MR with
reference; -bar on mean token log-probs; ~row up to a constant of the row, w up
to its weight. needs: what it reads beside the pair's log-probs and lengths."""
TASKS_LEGEND = """
Returns of each task's agents: mean over episodes with sampled actions, 95 %
interval. original: the policy to be improved, score 0; target: a better one,
score 1; other: a third, about as good as the original. backend: brax's physics."""
NEEDS = {"reference": "ref", "rewards": "rewards", "groups": "groups"}
"""What an objective may need beside the pair log-probs, and how the table calls it."""
WIDEST = {"needs": 7}
"""Columns that fold to make room for formulas, in characters."""
FORMULA = "formula, and settings below it"
"""One column: side by side the two would fold into strips."""
Row = dict[str, Any]
AsJson = Annotated[bool, typer.Option("--json", help="Print a JSON array of objects with a name.")]


@app.command()
def tasks(as_json: AsJson = False) -> None:
    """Tasks with the return of their agents (sampled actions, 95 % interval); - where there is no such agent."""
    from adapters.storage.agent_files import AgentsCard
    from mpo_experiments.agents.lookup import load_card
    from mpo_experiments.tasks.registry import TASKS

    def returns(card: AgentsCard, role: str) -> dict[str, float]:
        return getattr(card, role).sampled.model_dump(by_alias=True, exclude={"earlier"})

    found = []
    for spec in TASKS.values():
        try:
            card = load_card(spec.name)
        except ValueError as error:  # a task is there even if its agents are not
            typer.echo(str(error), err=True)
            card = None
        agents = {role: returns(card, role) if card and role in card.roles else None for role in AGENTS}
        found.append({"name": spec.name, "backend": spec.backend, "description": spec.description} | agents)
    if not as_json:
        found = [row | {"other": _rounded(row["other"])} for row in found]
    _show(found, as_json, ("name", "backend", *AGENTS))
    if not as_json:
        typer.echo(TASKS_LEGEND)


@app.command()
def objectives(
    needs: Annotated[str | None, typer.Option(help="Only what needs reference, rewards or groups; or none.")] = None,
    family: Annotated[str | None, typer.Option(help="Only this family, such as log_ratio.")] = None,
    member: Annotated[
        str | None,
        typer.Option(help="Only exact members of the class (yes), the others (no), or a code or its start: MR, M0-bar"),
    ] = None,
    sees_rewards: Annotated[
        bool | None, typer.Option("--sees-rewards/--no-sees-rewards", help="Only what reads the true rewards, or not.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Hand-written objectives; options together narrow the list down."""
    with validating_input():
        filters: list[Callable[[Row], bool]] = [] if needs is None else [_by_need(needs)]
        from mpo_core.losses.catalogue import catalogue

        listed = [_described(entry) for entry in catalogue()]
        if family is not None:
            filters.append(_by_family(family, {row["family"]: None for row in listed}))
        if member is not None:
            filters.append(_by_member(member, {row["member"]: None for row in listed}))
    if sees_rewards is not None:
        filters.append(lambda row: row["sees_rewards"] == sees_rewards)
    found = [row for row in listed if all(fits(row) for fits in filters)]
    if as_json:
        _show(found, as_json, ())
        return
    shown = [row | _narrow(row) for row in found]
    _show(shown, as_json, ("name", "member", "needs", FORMULA))
    typer.echo(f"{LEGEND}\n\n{f'{len(found)} of ' if filters else ''}{len(listed)} objectives")


def _described(entry: "CatalogueEntry") -> Row:
    from mpo_core.losses.members import member_ids
    from mpo_core.losses.named_loss import NamedLoss

    reads = (entry.needs_reference, entry.sees_rewards, entry.sees_groups)
    return {
        "name": entry.id, "family": entry.family, "member": entry.member, "is_member": entry.id in member_ids(),
        "formula": entry.formula, "settings": str(NamedLoss(entry.id).spelled_out()).partition(":")[2],
        "domains": {name: _allowed(one) for name, one in entry.settings.items()},
        "tuning": {one.name: {"low": one.low, "high": one.high, "scale": one.scale} for one in entry.tuning},
        "needs": [need for need, is_read in zip(NEEDS, reads, strict=True) if is_read],
        "needs_reference": reads[0], "sees_rewards": reads[1], "sees_groups": reads[2],
        "length_normalised": entry.length_normalised, "sft_epochs": entry.sft_epochs, "citation": entry.citation,
    }  # fmt: skip


def _allowed(one: "Setting") -> str | list[str]:
    """The interval that a setting lies in, or the words that it may be."""
    if one.words:
        return list(one.words)
    return "any finite number" if one.domain is None else one.domain.interval


def _narrow(row: Row) -> dict[str, str]:
    """Cells that fold between words."""
    needs = " ".join(NEEDS[need] for need in row["needs"])
    settings = row["settings"].replace(",", ", ")
    return {"needs": needs, FORMULA: f"{row['formula']}\n{settings}".strip()}


def _by_need(need: str) -> Callable[[Row], bool]:
    if need == "none":
        return lambda row: not row["needs"]
    if need not in NEEDS:
        raise unknown_name("need", need, (*NEEDS, "none"))
    return lambda row: need in row["needs"]


def _by_family(family: str, families: Iterable[str]) -> Callable[[Row], bool]:
    if family not in families:
        raise unknown_name("family", family, families)
    return lambda row: row["family"] == family


def _by_member(member: str, codes: Iterable[str]) -> Callable[[Row], bool]:
    if member in ("yes", "no"):
        return lambda row: row["is_member"] == (member == "yes")
    if not member or not any(code.startswith(member) for code in codes):
        raise unknown_name("member code", member, dict.fromkeys(("yes", "no", *codes)))
    return lambda row: row["member"].startswith(member)


@app.command()
def discovered(as_json: AsJson = False) -> None:
    """Objectives that searches found and that come with mpo; usable wherever an id is."""
    from mpo_experiments.objectives.saved import bundled_cards

    found = []
    for id, card in bundled_cards().items():
        where = card["provenance"]
        found.append(
            {
                "name": id, "searched_on": f"{where.get('task')}, {where.get('data')}", "form": _form(card),
                "started_from": card.get("init"), "provenance": where,
            }
        )  # fmt: skip
    _show(found, as_json, ("name", "searched_on", "form"))


def _form(card: dict[str, Any]) -> str:
    return "temporal" if card["temporal"] else "static"


@app.command()
def strategies(as_json: AsJson = False) -> None:
    """Evolution strategies that `--strategy` takes."""
    from adapters.evosax.entries import strategy_entry, strategy_names

    found = [{"name": name, "description": strategy_entry(name).description} for name in strategy_names()]
    _show(found, as_json, ("name", "description"))


@app.command()
def data(as_json: AsJson = False) -> None:
    """Terms of a data specification; join them by + in any order."""
    from mpo_core.data.fault_registry import FAULTS

    found = [{"name": fault.form, "description": fault.description} for fault in FAULTS.values()]
    _show(found, as_json, ("name", "description"))


def _show(found: list[Row], as_json: bool, columns: tuple[str, ...]) -> None:
    if as_json:
        typer.echo(json.dumps(found, indent=2))
        return
    plain_table(
        columns, [tuple(_cell(row[column]) for column in columns) for row in found],
        fold=[column for column in columns if column not in ("name", "member", "backend", *AGENTS)],
    )  # fmt: skip


def plain_table(columns: Sequence[str], rows: Iterable[Sequence[str]], fold: Iterable[str]) -> None:
    """Prints a table that fits the terminal, or 80 columns where there is none.

    Args:
        fold: columns whose long values go over several lines; others stay whole.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table, folds = Table(show_edge=False, pad_edge=False), set(fold)
    for column in columns:
        table.add_column(column, overflow="fold", no_wrap=column not in folds, max_width=WIDEST.get(column))
    for row in rows:
        table.add_row(*map(Text, row))
    out = Console(highlight=False)  # that of cli.display, whose import takes seconds
    (out if out.is_terminal else Console(highlight=False, width=80)).print(table)


def _rounded(returns: dict[str, float] | None) -> str | None:
    """A return without its interval, where there is little room."""
    from mpo_experiments.text_table import return_text

    return None if returns is None else return_text(returns["return"])


def _cell(value: dict[str, float] | str | float | None) -> str:
    if isinstance(value, dict):
        from mpo_experiments.text_table import return_interval_text

        return return_interval_text(value["return"], value["low"], value["high"])
    return "-" if value is None else str(value)
