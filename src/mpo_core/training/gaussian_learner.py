"""The Gaussian policy as a learner."""

import dataclasses

import equinox as eqx
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Int

from mpo_core.policies.gaussian import GaussianPolicy
from mpo_core.settings import Products
from mpo_core.training.learner import RowFacts, UnitIndex
from mpo_core.training.prepared_rows import PreparedRows, pair_log_probs, unit_log_probs, without_normaliser


@dataclasses.dataclass(frozen=True)
class GaussianLearner:
    """A Gaussian policy on one unit of rows that are held once for all units (see `Learner`).

    Args:
        original: where training starts.
        prepared: rows of all units.
        unit: the one that it is trained on.
        products: how the products of its network are computed.
    """

    original: GaussianPolicy
    prepared: PreparedRows
    unit: UnitIndex
    products: Products

    @property
    def rows(self) -> int:
        """Of the unit."""
        return self.prepared.facts.rows

    @property
    def start(self) -> Float[Array, " parameter"]:
        """Kernels and biases, layer by layer, and the deviations."""
        return ravel_pytree(_trained(self.original))[0]

    def log_probs(self, vector: Float[Array, " parameter"], index: Int[Array, " row"]) -> Float[Array, "row side"]:
        """Sums of token log-probs of the trajectories of some rows."""
        return pair_log_probs(self._bare(vector), self.prepared, self.unit, index, self.products)

    def all_log_probs(self, vector: Float[Array, " parameter"]) -> Float[Array, "row side"]:
        """The same of all rows, without gradient."""
        return unit_log_probs(self._bare(vector), self.prepared, self.unit, self.products)

    def facts(self, index: Int[Array, " row"]) -> RowFacts:
        """What else is known of some rows."""
        return self.prepared.facts.of(self.unit, index)

    def policy(self, vector: Float[Array, " parameter"]) -> GaussianPolicy:
        """The policy with these parameters."""
        return _with_parameters(self.original, vector)

    def _bare(self, vector: Array) -> GaussianPolicy:
        return _with_parameters(without_normaliser(self.original), vector)


def _trained(policy: GaussianPolicy) -> tuple:
    return policy.layers, policy.raw_scale


def _with_parameters(policy: GaussianPolicy, vector: Array) -> GaussianPolicy:
    return eqx.tree_at(_trained, policy, ravel_pytree(_trained(policy))[1](vector))
