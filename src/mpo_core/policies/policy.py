"""What rollouts and inner loops ask of a policy, whatever it is."""

import abc

import equinox as eqx
import jax
from jaxtyping import Array, Float, Key, PyTree

from mpo_core.arrays import AnyArray


class AbstractPolicy(eqx.Module):
    """A policy; with a leading axis on every leaf, several of one structure.

    How it is trained is a `mpo_core.training.learner.Learner`, made by `mpo_core.training.learners.learner_of`.
    """

    @abc.abstractmethod
    def begin(self, observation: Float[Array, "env observation"]) -> PyTree:
        """What it remembers as episodes begin, leaves with a leading env axis; None if actions follow from the
        observation alone."""

    @abc.abstractmethod
    def act(
        self,
        observation: Float[Array, "env observation"],
        memory: PyTree,
        noise: Float[Array, ""],
        key: Key[Array, " env"],
    ) -> tuple[Float[Array, "env action"], PyTree]:
        """Actions, and what it remembers after them.

        Args:
            noise: 1 samples actions, 0 takes the mode.
            key: of this step of each env.
        """

    @property
    @abc.abstractmethod
    def widths(self) -> tuple[int, ...]:
        """Numbers that a step of training keeps, layer by layer: what decides the memory of activations."""

    @property
    @abc.abstractmethod
    def step_flops(self) -> int:
        """Operations of the matrix products of training on one step, forwards and backwards."""


def stacked_count(policies: AbstractPolicy) -> int:
    """How many policies are stacked along a leading axis."""
    return jax.tree.leaves(policies)[0].shape[0]


def parameter_count(policy: AbstractPolicy) -> int:
    """Numbers that a policy consists of."""
    leaves: list[AnyArray] = jax.tree.leaves(policy)
    return sum(leaf.size for leaf in leaves)
