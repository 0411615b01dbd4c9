"""`mpo agents`: train the original and the target agent of a task, or see those there are."""

import enum
from pathlib import Path
from typing import Annotated

import typer

from cli.validation import LAST_SEED, check_folder, interruptible, validating_input

MOST_STEPS = 10**11


class Role(enum.StrEnum):
    """What `mpo agents train` trains."""

    PAIR = "pair"
    OTHER = "other"


app = typer.Typer(help="Reference agents of the tasks: train them, list them.", no_args_is_help=True)


@app.command()
def train(
    task: Annotated[str, typer.Option(help="Task to train agents for; ant@1: another pair, from seed 1.")],
    steps: Annotated[
        int | None,
        typer.Option(
            min=1, max=MOST_STEPS, help="Environment steps (language models: updates); the task's recipe unless given."
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(min=0, max=LAST_SEED, help="Seed of the run; unless given that of the pair (0), 7 for other."),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for <task>/original, target and card.")] = Path("agents"),
    role: Annotated[
        Role, typer.Option(help="pair: original and target; other: add an agent as good as the original.")
    ] = Role.PAIR,
) -> None:
    """Train a task's agents, measure them and write them with their card."""
    with validating_input():
        from mpo_experiments.tasks.registry import task_spec

        check_folder("--out", out / task_spec(task).name)
        from mpo_experiments.agents.plan import planned_training

        training = planned_training(task, out, other=role is Role.OTHER, steps=steps, seed=seed)
    from mpo_experiments.agents.lookup import AGENTS_DIR_VARIABLE

    with interruptible(
        "Run the same command again: a finished PPO run is not repeated, an unfinished one starts over."
    ):
        training(lambda line: typer.echo(line, err=True))
    typer.echo(f"Written to {out / task}; to use these agents: export {AGENTS_DIR_VARIABLE}={out.resolve()}")


@app.command("list")
def list_agents(
    as_json: Annotated[bool, typer.Option("--json", help="Print the cards as one JSON list.")] = False,
) -> None:
    """List the agents there are, with their returns (95% interval)."""
    import json

    from adapters.storage.agent_files import AgentsCard
    from mpo_experiments.agents.lookup import load_card, other_pairs
    from mpo_experiments.tasks.registry import task_names

    def card_of(task: str) -> AgentsCard | None:
        try:
            return load_card(task)
        except ValueError as error:
            typer.echo(str(error), err=True)
            return None

    names = [name for task in task_names() for name in (task, *other_pairs(task))]
    cards = [card for name in names if (card := card_of(name)) is not None]
    if as_json:
        typer.echo(json.dumps([card.model_dump(mode="json", by_alias=True) for card in cards], indent=2))
        return
    from cli.listing import plain_table
    from mpo_experiments.text_table import return_text

    rows = []
    for card in cards:
        for role in card.roles:
            record = getattr(card, role)
            measured = (record.sampled, record.mode)
            returns = [f"{return_text(one.return_)} ± {return_text((one.high - one.low) / 2)}" for one in measured]
            rows.append((card.task, role, f"{record.steps / 1e6:.2f}M" if record.steps else "0", *returns))
    plain_table(("task", "agent", "steps", "sampled actions, ± 95 %", "mode actions"), rows, fold=("task",))
