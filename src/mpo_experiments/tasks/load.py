"""The environment of a task and its rollout program, built once a process."""

import functools
from typing import Any, cast

from adapters.processes.distributed import rollout_program
from mpo_core.rollout.program import RolloutProgram
from mpo_core.rollout.task import Task
from mpo_experiments.tasks.registry import task_spec

MOST_PROGRAMS = 8
"""Rollout programs that a process keeps, with the physics that they compiled."""


@functools.cache
def load_task(name: str) -> Task:
    """The task of that name on its backend; one instance per name, since compiled programs are cached on it.

    Raises:
        ValueError: no such task.
    """
    spec = task_spec(name)
    if spec.of_words:
        task = cast(Task, spec.make())
        task.name = spec.name  # with the @ of another pair of agents
        return task
    from adapters.brax.environments import brax_task  # before `make`: it keeps brax from printing as it is imported

    return brax_task(spec.name, spec.backend, cast(Any, spec.make()))


@functools.lru_cache(maxsize=MOST_PROGRAMS)
def load_program(name: str, chunk: int) -> RolloutProgram:
    """The rollout program of a task: whoever asks for the same gets what is compiled already.

    Args:
        name: of the task.
        chunk: steps of a rollout in one call.

    Raises:
        ValueError: no such task.
    """
    return rollout_program(load_task(name), chunk=chunk)
