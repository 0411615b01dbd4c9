"""What the core asks of a task: start an episode, take a step."""

from typing import Protocol, runtime_checkable

import equinox as eqx
from jaxtyping import Array, Float, PRNGKeyArray, PyTree


class TaskState(eqx.Module):
    """The state of one episode; with leading axes, of many."""

    physics: PyTree
    """Whatever the simulator carries; opaque to the core."""
    observation: Float[Array, "*batch observation"]
    reward: Float[Array, "*batch"]
    done: Float[Array, "*batch"]
    """1 once the episode has ended by failure, otherwise 0."""


@runtime_checkable
class Task(Protocol):
    """A control task for one episode at a time; pure, so that `vmap`, `scan` and `jit` apply.

    Implementations are hashed by identity: build each once.
    """

    name: str
    backend: str
    observation_size: int
    action_size: int

    def reset(self, *, key: PRNGKeyArray) -> TaskState:
        """A fresh episode."""
        ...

    def step(self, state: TaskState, action: Float[Array, " action"]) -> TaskState:
        """One control step. Actions are clipped to [-1, 1] before the simulator sees them; rewards are not clipped."""
        ...
