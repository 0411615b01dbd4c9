"""The environment of a task, built once a process."""

import functools
from typing import Any

from mpo_core.rollout.task import Task
from mpo_experiments.tasks.registry import task_spec


@functools.cache
def load_task(name: str) -> Task:
    """The task of that name on its backend; one instance per name, since compiled programs are cached on it.

    Raises:
        ValueError: no such task.
    """
    spec = task_spec(name)
    made: Any = spec.make()
    if spec.of_words:
        return made
    from adapters.brax.environments import brax_task

    return brax_task(spec.name, spec.backend, made)
