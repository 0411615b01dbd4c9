"""The environment of a task, built once a process."""

import functools

from adapters.brax.environments import BraxTask, brax_task
from mpo_experiments.tasks.registry import task_spec


@functools.cache
def load_task(name: str) -> BraxTask:
    """The task of that name on its backend; one instance per name, since compiled programs are cached on it.

    Raises:
        ValueError: no such task.
    """
    spec = task_spec(name)
    return brax_task(spec.name, spec.backend, spec.make())
