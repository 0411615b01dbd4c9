"""Many objectives in one program."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from mpo_core.objective.interface import AbstractObjective, AbstractStatefulObjective, Scalar
from mpo_core.objective.pair_log_probs import PairLogProbs

BranchStates = tuple[Any, ...]
"""The state of each branch; None of a branch that has none."""


class SwitchObjective(AbstractObjective):
    """One of several objectives, chosen by a traced index: a whole zoo trains in one compiled program.

    Under `lax.map` only the chosen branch is computed; under `vmap` all of them are.
    """

    index: Int[Array, ""]
    branches: tuple[AbstractObjective, ...]

    def __call__(self, pair: PairLogProbs, progress: Scalar) -> Float[Array, " row"]:
        """The loss of the chosen branch."""
        calls = [branch.__call__ for branch in self.branches]
        return jax.lax.switch(self.index, calls, pair, jnp.asarray(progress, pair.chosen.dtype))


class StatefulSwitchObjective(AbstractStatefulObjective[BranchStates]):
    """The same where a branch has a state. It carries the states of all; that of the chosen branch alone advances."""

    index: Int[Array, ""]
    branches: tuple[AbstractObjective, ...]

    @property
    def sees_groups(self) -> bool:
        """Whether a branch does."""
        return any(isinstance(branch, AbstractStatefulObjective) and branch.sees_groups for branch in self.branches)

    def initial_state(self) -> BranchStates:
        """The state that each branch starts from."""
        return tuple(
            branch.initial_state() if isinstance(branch, AbstractStatefulObjective) else None
            for branch in self.branches
        )

    def losses(self, pair: PairLogProbs, progress: Scalar, state: BranchStates) -> Float[Array, " row"]:
        """The loss of the chosen branch."""
        calls = [partial(_branch_losses, branch, place) for place, branch in enumerate(self.branches)]
        return jax.lax.switch(self.index, calls, pair, jnp.asarray(progress, pair.chosen.dtype), state)

    def step(
        self, pair: PairLogProbs, progress: Scalar, state: BranchStates, *, key: PRNGKeyArray
    ) -> tuple[Float[Array, " row"], BranchStates]:
        """One update of the chosen branch."""
        calls = [partial(_branch_step, branch, place) for place, branch in enumerate(self.branches)]
        return jax.lax.switch(self.index, calls, pair, jnp.asarray(progress, pair.chosen.dtype), state, key)


def _branch_losses(branch: AbstractObjective, place: int, pair: PairLogProbs, progress: Array, state: BranchStates):
    if isinstance(branch, AbstractStatefulObjective):
        return branch.losses(pair, progress, state[place])
    return branch(pair, progress)


def _branch_step(
    branch: AbstractObjective, place: int, pair: PairLogProbs, progress: Array, state: BranchStates, key: PRNGKeyArray
):
    if not isinstance(branch, AbstractStatefulObjective):
        return branch(pair, progress), state
    losses, own = branch.step(pair, progress, state[place], key=key)
    return losses, (*state[:place], own, *state[place + 1 :])


def _switch(
    index: Int[Array, ""], branches: tuple[AbstractObjective, ...]
) -> SwitchObjective | StatefulSwitchObjective:
    if any(isinstance(branch, AbstractStatefulObjective) for branch in branches):
        return StatefulSwitchObjective(index, branches)
    return SwitchObjective(index, branches)


def stack_objectives(objectives: list[AbstractObjective]) -> SwitchObjective | StatefulSwitchObjective:
    """A switch with a leading axis on every leaf (numpy): entry i behaves as `objectives[i]`.

    Objectives of one structure and of the same shapes share a branch and differ in its leaves alone, so a sweep adds
    nothing to the program.
    The switch has a state only if one of them has.
    """
    templates: dict = {}
    for objective in objectives:
        templates.setdefault(_shape(objective), (len(templates), objective))
    entries = []
    for objective in objectives:
        index = templates[_shape(objective)][0]
        branches = tuple(objective if at == index else template for at, template in templates.values())
        entries.append(_switch(jnp.int32(index), branches))
    return jax.tree.map(lambda *leaves: np.stack([np.asarray(leaf) for leaf in leaves]), *entries)


def _shape(objective: AbstractObjective) -> tuple:
    """What two objectives must have in common to share a branch; learned ones may differ in resolution over time."""
    return jax.tree.structure(objective), tuple(jnp.shape(leaf) for leaf in jax.tree.leaves(objective))
