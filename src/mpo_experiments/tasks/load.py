"""The environment of a task, built once a process."""

import functools
from typing import Any, cast

from mpo_core.rollout.task import Task
from mpo_experiments.tasks.registry import task_spec


@functools.cache
def load_task(name: str) -> Task:
    """The task of that name on its backend; one instance per name, since compiled programs are cached on it.

    Raises:
        ValueError: no such task.
    """
    spec = task_spec(name)
    if spec.of_words:
        return cast(Task, spec.make())
    from adapters.brax.environments import brax_task  # before `make`: it keeps brax from printing as it is imported

    return brax_task(spec.name, spec.backend, cast(Any, spec.make()))
