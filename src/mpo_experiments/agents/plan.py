"""How a task's agents are trained: by PPO, or taught by texts; one place that tells which."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

from adapters.storage.agent_files import CARD_FILE, AgentsCard, read_agents_card
from mpo_experiments.reviews.settings import LanguageRecipe
from mpo_experiments.tasks.registry import PAIR_MARK, PPOSettings, task_spec

Training = Callable[[Callable[[str], None]], AgentsCard]
"""Trains, given what is told a line of progress now and then."""


def planned_training(task: str, out: Path, *, other: bool, steps: int | None, seed: int | None) -> Training:
    """The training that is asked for, checked.

    Args:
        out: folder that gets `<task>/`.
        other: whether it is of the third agent.
        steps: of the environment (of a language model: updates); the recipe's unless given.

    Raises:
        ValueError: there is no such task, or no such training of it.
    """
    of_words, (base, mark, own) = task_spec(task).of_words, task.partition(PAIR_MARK)
    if mark and not other and seed is not None and str(seed) != own:
        raise ValueError(
            f"--seed {seed}: {task!r} is the pair of seed {own}; that of seed {seed} is {base}{mark}{seed}"
        )
    if of_words:
        return _of_language(task, out, other, steps, seed)
    if other:
        return _of_other(task, out, steps, seed)
    return _of_pair(task, out, steps, seed)


def _of_language(task: str, out: Path, other: bool, steps: int | None, seed: int | None) -> Training:
    if other:
        raise ValueError(f"--role other: the three models of task {task!r} are made together, by --role pair")
    from mpo_experiments.agents.language import language_settings, train_language_agents

    recipe = language_settings(task, steps=steps, seed=seed)
    _check_no_others(out, task, recipe)
    return lambda say: train_language_agents(task, recipe, out, say)


def _of_pair(task: str, out: Path, steps: int | None, seed: int | None) -> Training:
    from mpo_experiments.agents.lookup import load_agents
    from mpo_experiments.agents.training import settings_for, train_agents

    settings = settings_for(task, steps=steps, seed=seed)
    if settings.start is not None:
        load_agents(settings.start)
    _check_no_others(out, task, settings)
    return lambda say: train_agents(task, settings, out, say)


def _check_no_others(out: Path, task: str, settings: PPOSettings | LanguageRecipe) -> None:
    """Refuses to train over agents that were trained with other settings.

    Raises:
        ValueError: there are such, or a card that cannot be read.
    """
    folder = out / task
    if not (folder / CARD_FILE).is_file():
        return
    there, asked = read_agents_card(folder, task).settings, json.loads(json.dumps(dataclasses.asdict(settings)))
    if there != asked:
        name = next(name for name in {**asked, **there} if there.get(name) != asked.get(name))
        raise ValueError(
            f"--out {out}: {folder} holds agents that were trained with other settings ({name}), which would be lost: "
            "name another folder, or remove them"
        )


def _of_other(task: str, out: Path, steps: int | None, seed: int | None) -> Training:
    from mpo_experiments.agents.lookup import load_agents
    from mpo_experiments.agents.other import OTHER_SEED, check_other, other_settings, train_other

    load_agents(task)
    settings = other_settings(task, steps=steps, seed=OTHER_SEED if seed is None else seed)
    check_other(task, settings, out)
    return lambda say: train_other(task, settings, out, say)
