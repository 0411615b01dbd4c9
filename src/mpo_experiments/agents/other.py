"""A task's third agent: about as good as the original, but of a PPO run of its own, so that its data are not the
original's."""

import datetime
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from adapters.storage.agent_files import (
    CARD_FILE,
    AgentsCard,
    OtherRecord,
    load_agent,
    read_agents,
    read_agents_card,
    save_agents,
    save_other,
)
from mpo_core.policies.policy import AbstractPolicy
from mpo_experiments.agents.lookup import load_agents, load_card
from mpo_experiments.agents.measuring import measure, token_log_probs
from mpo_experiments.agents.training import settings_for, snapshot_path, train_snapshots
from mpo_experiments.tasks.registry import PPOSettings, task_spec

OTHER_SEED = 7
"""Of the third agent's PPO run, unless told otherwise."""
UPDATES_A_SNAPSHOT = 2
"""PPO updates from one snapshot to the next: close enough for one whose return is near the original's."""
RULE = (
    "another PPO run, from scratch, that ends once it returns as much as the original; "
    "of its snapshots after the start the one whose return is closest to the original's"
)


def other_settings(task: str, *, steps: int | None = None, seed: int = OTHER_SEED) -> PPOSettings:
    """The task's recipe from scratch, with a seed of its own and a snapshot every `UPDATES_A_SNAPSHOT` updates.

    Args:
        steps: of the environment at most; the recipe's unless given.

    Raises:
        ValueError: no such task.
    """
    recipe = replace(settings_for(task, steps=steps, seed=seed), start=None)
    update = recipe.batch_size * recipe.num_minibatches * recipe.unroll_length
    return replace(recipe, evaluations=max(1, recipe.steps // (UPDATES_A_SNAPSHOT * update)))


def check_other(task: str, settings: PPOSettings, out_dir: Path) -> None:
    """Refuses a run that would give the original's again.

    Raises:
        ValueError: no agents for the task, or a seed that theirs were trained with.
    """
    card = _pair(task, out_dir)[0]
    if card.settings.get("seed") == settings.seed and card.settings.get("start") is None:
        raise ValueError(f"--seed {settings.seed} trained the agents of task {task!r}: another run needs another seed")


def train_other(
    task: str, settings: PPOSettings, out_dir: Path, progress: Callable[[str], None] = lambda line: None
) -> AgentsCard:
    """Trains the third agent, measures it and adds it to the agents in `out_dir/<task>`.

    Where that folder has no agents, it gets a copy of the original and the target that the task has. A finished run
    with the same settings in `out_dir/<task>/snapshots-other` is not repeated.

    Args:
        settings: as from `other_settings`.
        progress: called with a line of text now and then.

    Raises:
        ValueError: no such task, no agents for it, or a seed that theirs were trained with.
    """
    from mpo_experiments.tasks.load import load_task

    check_other(task, settings, out_dir)
    card, (original, target) = _pair(task, out_dir)
    folder = out_dir / task
    if not (folder / CARD_FILE).is_file():
        save_agents(folder, card, (original, target))
    wanted = card.original.sampled.return_
    snapshots = folder / "snapshots-other"
    run = train_snapshots(task, settings, snapshots, progress, until=wanted)
    steps = closest(run.returns, wanted)
    other = load_agent(snapshot_path(snapshots, steps), activation=settings.activation, bin_width=card.bin_width)
    progress(f"measuring the agent after {steps:,} steps")
    (measured,) = measure(load_task(task), (other,))
    record = OtherRecord(
        steps=steps, **measured, command=_command(task, settings), rule=RULE, settings=run.settings,
        snapshots=run.returns, token_log_prob=token_log_probs(load_task(task), (original, other))[1],
        date=datetime.date.today().isoformat(),
    )  # fmt: skip
    card = card.model_copy(update={"other": record})
    save_other(folder, card, other)
    progress(f"{task}: other {record.sampled.return_:,.1f}, original {wanted:,.1f}")
    return card


def _pair(task: str, out_dir: Path) -> tuple[AgentsCard, tuple[AbstractPolicy, AbstractPolicy]]:
    """The card of the agents in `out_dir`, or else of those that the task has, with its original and its target."""
    folder = out_dir / task_spec(task).name
    if (folder / CARD_FILE).is_file():
        card = read_agents_card(folder, task)
        agents = read_agents(folder, card)
    else:
        card = load_card(task).model_copy(update={"other": None})
        agents = load_agents(task)
    return card, (agents[0], agents[1])


def closest(returns: dict[int, float], wanted: float) -> int:
    """The steps of the snapshot after the start whose return is closest to the one that is wanted.

    Args:
        returns: environment steps -> return.
    """
    return min(sorted(returns)[1:], key=lambda steps: abs(returns[steps] - wanted))


def _command(task: str, settings: PPOSettings) -> str:
    return f"mpo agents train --task {task} --role other --steps {settings.steps} --seed {settings.seed}"
