"""Which tasks there are and how their agents are trained; imports no simulator, so that names are checked at once."""

import functools
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from adapters.brax.ppo_settings import PPOSettings
from mpo_core.names import shortened, unknown_name
from mpo_experiments.reviews.settings import LanguageRecipe, Lessons

if TYPE_CHECKING:
    from brax.envs import Env

    from mpo_core.rollout.task import Task

PAIR_MARK = "@"
SEED = re.compile(r"[1-9][0-9]{0,8}")
RIGHT_BACK_LEG = (0, 1)
"""Ant's actions of leg 4 (hip and ankle). The actuators of ant.xml are in another order than its docstring says."""
LEG_WEIGHT = 10.0
"""What the squared torques of that leg cost."""


@dataclass(frozen=True)
class TaskSpec:
    """A task: a brax environment on the physics backend its baselines are measured on, or a task of words."""

    name: str
    description: str
    backend: str
    make: "Callable[[], Env | Task]"
    """Builds the environment (with a `LanguageRecipe`: the task itself); imports the simulator only when called."""
    recipe: PPOSettings | LanguageRecipe
    """How its agents are trained: by PPO, or as language models."""
    agents_root: Path | None = None
    """Folder of <name>/original.safetensors, target and card, where they do not come with this package."""

    @property
    def of_words(self) -> bool:
        """Whether its actions are tokens and its agents language models."""
        return isinstance(self.recipe, LanguageRecipe)


def brax(name: str, backend: str) -> "Callable[[], Env]":
    """Builds one of brax's own environments."""
    return functools.partial(_brax, name, backend)


def _brax(name: str, backend: str) -> "Env":
    from adapters.brax.environments import build_environment

    return build_environment(name, backend)


def _three_legged_ant() -> "Env":
    """Brax's ant, with the use of its right back leg penalised (our reconstruction of the paper's task)."""
    from adapters.brax.penalised_actions import PenalisedActions

    return PenalisedActions(_brax("ant", "spring"), RIGHT_BACK_LEG, LEG_WEIGHT)


def reviews(name: str) -> "Callable[[], Task]":
    """Builds the task of writing short reviews."""
    return functools.partial(_reviews, name)


def _reviews(name: str) -> "Task":
    from mpo_experiments.reviews.task import ReviewsTask

    return ReviewsTask(name)


TASKS = {
    spec.name: spec
    for spec in (
        TaskSpec(
            name="halfcheetah",
            description="Run forward on two legs; reward is speed minus 0.1 x squared torque; never ends early.",
            backend="spring",
            make=brax("halfcheetah", "spring"),
            recipe=PPOSettings(steps=6_553_600, evaluations=40),
        ),
        TaskSpec(
            name="hopper",
            description="Hop forward on one leg; reward is speed plus 1 while upright; ends at a fall.",
            backend="positional",
            make=brax("hopper", "positional"),
            recipe=PPOSettings(steps=1_638_400, evaluations=40),
        ),
        TaskSpec(
            name="ant",
            description="Walk forward on four legs; reward is speed plus 1 minus 0.5 x squared torque; ends at a fall.",
            backend="spring",
            make=brax("ant", "spring"),
            recipe=PPOSettings(steps=3_932_160, evaluations=32),
        ),
        TaskSpec(
            name="walker2d",
            description="Walk forward on two legs; reward is speed plus 1 while upright; ends at a fall.",
            backend="positional",
            make=brax("walker2d", "positional"),
            # with seed 0 it learns to stand still first, which would be the original
            recipe=PPOSettings(steps=6_000_000, evaluations=18, discounting=0.995, seed=1),
        ),
        TaskSpec(
            name="three_legged_ant",
            description=(
                "Ant whose right back leg is not to be used: 10 x its squared torques are taken off the reward. "
                "The original agent is ant's target, the target agent walks without that leg."
            ),
            backend="spring",
            make=_three_legged_ant,
            recipe=PPOSettings(steps=2_457_600, evaluations=30, start="ant"),
        ),
        TaskSpec(
            name="reviews",
            description=(
                "Write a short review, a token a step; reward counts praise, topic, length and grammar. "
                "The agents are small transformers; what the target writes is unlikely under the original."
            ),
            backend="tokens",
            make=reviews("reviews"),
            recipe=LanguageRecipe(
                original=Lessons(moods=(0.05, 0.2, 0.75), on_topic=0.3),
                target=Lessons(moods=(0.9, 0.03, 0.07), on_topic=0.9, best_of=8, updates=1000, learning_rate=1e-3),
                other=Lessons(moods=(0.4, 0.55, 0.05), on_topic=0.3),
            ),
        ),
        TaskSpec(
            name="reviews_alike",
            description=(
                "The same, but the target learned from the best of the original's own kind of reviews: both write "
                "texts that are as likely under the original."
            ),
            backend="tokens",
            make=reviews("reviews_alike"),
            recipe=LanguageRecipe(
                original=Lessons(moods=(0.3, 0.35, 0.35), on_topic=0.6),
                target=Lessons(moods=(0.3, 0.35, 0.35), on_topic=0.6, best_of=8, updates=1000, learning_rate=1e-3),
                other=Lessons(moods=(0.05, 0.2, 0.75), on_topic=0.6),
            ),
        ),
    )
}


def register_task(spec: TaskSpec) -> None:
    """Adds a task of one's own; the same one again changes nothing.

    Raises:
        ValueError: its name is no plain word, or there is another task of that name.
    """
    if not (spec.name.isascii() and spec.name.isidentifier()):
        raise ValueError(f"task name {spec.name!r} is not a plain word: use letters, digits and underscores")
    if TASKS.setdefault(spec.name, spec) != spec:
        raise ValueError(f"there is a task {spec.name!r} already: choose another name")


def task_names() -> list[str]:
    """The names of all tasks."""
    return list(TASKS)


def base_name(task: str) -> str:
    """The task whose physics and sizes a task has: ant's for `ant@2`."""
    return task.partition(PAIR_MARK)[0]


def task_spec(name: str) -> TaskSpec:
    """The task of that name; `ant@2` is ant with another pair of agents, those of seed 2.

    Raises:
        ValueError: no such task; the message names the nearest ones. Or what follows the @ is no seed.
    """
    base, mark, seed = name.partition(PAIR_MARK)
    if base not in TASKS:
        raise unknown_name("task", base, TASKS)
    return _with_pair(TASKS[base], seed) if mark else TASKS[base]


def _with_pair(spec: TaskSpec, seed: str) -> TaskSpec:
    """The task with the recipe of another pair of agents; one that starts from another task's starts from its pair."""
    if not SEED.fullmatch(seed):
        raise ValueError(
            f"task '{spec.name}{PAIR_MARK}{shortened(seed)}': after {PAIR_MARK} stands the seed of another pair of "
            f"agents, a whole number from 1 on, as in '{spec.name}{PAIR_MARK}1'"
        )
    recipe = replace(spec.recipe, seed=int(seed))
    if isinstance(recipe, PPOSettings) and recipe.start is not None:
        recipe = replace(recipe, start=f"{recipe.start}{PAIR_MARK}{seed}")
    return replace(spec, name=f"{spec.name}{PAIR_MARK}{seed}", recipe=recipe)
