"""Training a task's agents: one PPO run, two of its snapshots, measured and written with their card."""

import contextlib
import datetime
import importlib.metadata
import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from adapters.storage.agent_files import (
    CARD_FILE,
    AgentRecord,
    AgentsCard,
    OtherRecord,
    load_agent,
    read_agents_card,
    save_agent,
    save_agents,
)
from adapters.storage.files import write_whole
from mpo_core.policies.gaussian import GaussianPolicy
from mpo_experiments.agents.lookup import load_agents
from mpo_experiments.agents.measuring import HORIZON, MEASUREMENT_SEED, measure, token_log_probs
from mpo_experiments.tasks.registry import PPOSettings, task_spec

ORIGINAL_SHARE = 0.3
RULE = (
    "target: the snapshot with the highest return; "
    "original: on the first climb, up to the snapshot that passes the level, the one whose return is closest to it; "
    f"the level: {ORIGINAL_SHARE:.0%} of the way to the target's return "
    "from the untrained policy's, or from 0 if that is negative"
)
STARTED_RULE = (
    "original: the target agent of task {start}, where training starts; target: the snapshot with the highest return"
)
VERSIONED = ("jax", "jaxlib", "brax", "mujoco", "mujoco-mjx")
RUN_FILE = "run.json"

Say = Callable[[str], None]


class TrainingRun(BaseModel):
    """The log of a PPO run, beside its snapshots."""

    model_config = ConfigDict(extra="forbid")

    task: str
    settings: dict[str, Any]
    until: float | None = None
    """The return at which the run was to end; None: it went on to its last step."""
    returns: dict[int, float] = {}
    """Environment steps -> return over the evaluation episodes (sampled actions)."""
    finished: bool = False


def settings_for(task: str, *, steps: int | None = None, seed: int | None = None) -> PPOSettings:
    """The task's recipe, with another length or seed; a short run has fewer snapshots, so that none is rounded up."""
    recipe = task_spec(task).recipe
    assert isinstance(recipe, PPOSettings)
    steps = recipe.steps if steps is None else steps
    seed = recipe.seed if seed is None else seed
    update = recipe.batch_size * recipe.num_minibatches * recipe.unroll_length
    return replace(recipe, steps=steps, seed=seed, evaluations=max(1, min(recipe.evaluations, steps // update)))


def train_agents(task: str, settings: PPOSettings, out_dir: Path, progress: Say = lambda line: None) -> AgentsCard:
    """Trains, chooses, measures and writes a task's agents into `out_dir/<task>`.

    A finished run with the same settings in `out_dir/<task>/snapshots` is not repeated.

    Args:
        progress: called with a line of text now and then.

    Raises:
        ValueError: no such task.
    """
    from mpo_experiments.tasks.load import load_task

    folder = out_dir / task_spec(task).name
    run = train_snapshots(task, settings, folder / "snapshots", progress)
    steps = choose(run.returns, started=settings.start is not None)
    agents = tuple(load_agent(snapshot_path(folder / "snapshots", at), activation=settings.activation) for at in steps)
    progress(f"measuring the agents after {steps[0]:,} and {steps[1]:,} steps")
    measured = measure(load_task(task), (agents[0], agents[1]))
    own, wanted = token_log_probs(load_task(task), (agents[0], agents[1]))
    records = [AgentRecord(steps=at, **of) for at, of in zip(steps, measured, strict=True)]
    card = AgentsCard(
        task=task,
        backend=load_task(task).backend,
        command=f"mpo agents train --task {task} --steps {settings.steps} --seed {settings.seed}",
        rule=RULE if settings.start is None else STARTED_RULE.format(start=settings.start),
        settings=run.settings,
        snapshots=run.returns,
        horizon=HORIZON,
        bin_width=agents[0].bin_width,
        activation=settings.activation,
        measurement_seed=MEASUREMENT_SEED,
        versions={name: importlib.metadata.version(name) for name in VERSIONED},
        date=datetime.date.today().isoformat(),
        original=records[0],
        target=records[1],
        token_log_probs=(own, wanted),
        other=_other_there(folder, task, run.settings),
    )
    save_agents(folder, card, (agents[0], agents[1]))
    progress(verdict(card))
    return card


def _other_there(folder: Path, task: str, settings: dict[str, Any]) -> OtherRecord | None:
    """The third agent's record, if the folder has one beside this very pair, which is trained again."""
    card = read_agents_card(folder, task) if (folder / CARD_FILE).is_file() else None
    return card.other if card is not None and card.settings == settings else None


class _Reached(Exception):
    """A run has come to the return at which it was to end."""


def train_snapshots(
    task: str, settings: PPOSettings, folder: Path, progress: Say = lambda line: None, *, until: float | None = None
) -> TrainingRun:
    """One PPO run whose policy is saved at every evaluation; a finished run with these settings is read instead.

    Args:
        until: ends the run at the first snapshot after the start that returns at least so much.
    """
    wanted = json.loads(json.dumps(asdict(settings)))
    run = TrainingRun(task=task, settings=wanted, until=until)
    found = _read_run(folder / RUN_FILE)
    if found is not None and found.finished and (found.task, found.settings, found.until) == (task, wanted, until):
        progress(f"the run in {folder} is finished: using its {len(found.returns)} snapshots")
        return found

    from adapters.brax.environments import BraxTask
    from adapters.brax.ppo import Snapshot, train_ppo
    from mpo_experiments.tasks.load import load_task

    def keep(snapshot: Snapshot) -> None:
        save_agent(snapshot_path(folder, snapshot.steps), snapshot.policy)
        run.returns[snapshot.steps] = snapshot.return_
        _write_run(folder / RUN_FILE, run)
        progress(f"{task}: {snapshot.steps:>10,} of {settings.steps:,} steps, return {snapshot.return_:,.1f}")
        if until is not None and snapshot.steps and snapshot.return_ >= until:
            raise _Reached

    start = None if settings.start is None else load_agents(settings.start)[1]
    environment = load_task(task)
    assert isinstance(environment, BraxTask)
    assert start is None or isinstance(start, GaussianPolicy)
    with contextlib.suppress(_Reached):
        train_ppo(environment, settings, keep, start)
    run.finished = True
    _write_run(folder / RUN_FILE, run)
    return run


def choose(returns: dict[int, float], *, started: bool = False) -> tuple[int, int]:
    """The steps of the original and of the target among a run's snapshots, by `RULE` or, if `started`, by its like."""
    steps = sorted(returns)
    target = max(steps[1:], key=lambda at: returns[at])
    if started:
        return steps[0], target
    untrained = returns[steps[0]]
    base = max(untrained, 0.0) if returns[target] > 0 else untrained
    wanted = base + ORIGINAL_SHARE * (returns[target] - base)
    climb = steps[: 1 + next(place for place, at in enumerate(steps) if at == target or returns[at] >= wanted)]
    return min((at for at in climb if at < target), key=lambda at: abs(returns[at] - wanted)), target


def verdict(card: AgentsCard) -> str:
    """Returns of a pair in a line, and whether objectives can be told apart on it."""
    original, target = card.original.sampled, card.target.sampled
    line = f"{card.task}: original {original.return_:,.1f}, target {target.return_:,.1f}"
    standard_error = np.hypot(target.high - target.low, original.high - original.low) / 2 / 1.96
    if target.return_ - original.return_ < 5 * standard_error:
        line += "; the two are too close to tell objectives apart: train longer"
    low, high = card.original.mode.return_, card.target.mode.return_
    if high <= low:
        line += f"; by mode actions the target is no better ({low:,.1f}, {high:,.1f}), so that nothing can be scored: "
        line += "train with another seed"
    return line


def snapshot_path(folder: Path, steps: int) -> Path:
    """Where the policy of a run after so many steps is."""
    return folder / f"{steps:09d}.safetensors"


def _read_run(path: Path) -> TrainingRun | None:
    try:
        return TrainingRun.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None


def _write_run(path: Path, run: TrainingRun) -> None:
    write_whole(path, (run.model_dump_json(indent=2) + "\n").encode())
