"""Which tasks there are and how their agents are trained; imports no simulator, so that names are checked at once."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from adapters.brax.ppo_settings import PPOSettings
from mpo_core.names import unknown_name

if TYPE_CHECKING:
    from brax.envs import Env


@dataclass(frozen=True)
class TaskSpec:
    """A task: a brax environment on the physics backend its baselines are measured on."""

    name: str
    description: str
    backend: str
    make: "Callable[[], Env]"
    """Builds the environment; imports the simulator only when called."""
    recipe: PPOSettings
    """How its agents are trained."""
    agents_root: Path | None = None
    """Folder of <name>/original.safetensors, target and card, where they do not come with this package."""


def brax(name: str, backend: str) -> "Callable[[], Env]":
    """Builds one of brax's own environments."""
    return functools.partial(_brax, name, backend)


def _brax(name: str, backend: str) -> "Env":
    from adapters.brax.environments import build_environment

    return build_environment(name, backend)


def _three_legged_ant() -> "Env":
    from adapters.brax.penalised_leg import three_legged_ant

    return three_legged_ant()


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
            backend="spring",
            make=brax("walker2d", "spring"),
            recipe=PPOSettings(steps=7_208_960, evaluations=44, discounting=0.99),
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


def task_spec(name: str) -> TaskSpec:
    """The task of that name.

    Raises:
        ValueError: no such task; the message names the nearest ones.
    """
    if name not in TASKS:
        raise unknown_name("task", name, TASKS)
    return TASKS[name]
