"""Many objectives in one program."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from mpo_core.objective import AbstractObjective, Scalar
from mpo_core.pair_log_probs import PairLogProbs


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


def stack_objectives(objectives: list[AbstractObjective]) -> SwitchObjective:
    """A `SwitchObjective` with a leading axis on every leaf (numpy): entry i behaves as `objectives[i]`.

    Objectives of one structure share a branch and differ in its leaves alone, so a sweep adds nothing to the program.
    """
    templates: dict = {}
    for objective in objectives:
        templates.setdefault(jax.tree.structure(objective), (len(templates), objective))
    entries = []
    for objective in objectives:
        index = templates[jax.tree.structure(objective)][0]
        branches = tuple(objective if at == index else template for at, template in templates.values())
        entries.append(SwitchObjective(jnp.int32(index), branches))
    return jax.tree.map(lambda *leaves: np.stack([np.asarray(leaf) for leaf in leaves]), *entries)
