"""What the inner loop needs of a policy and of the rows it is trained on."""

from typing import Any, Protocol, runtime_checkable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from mpo_core.data.rows import TARGET, PreferenceRows

UnitIndex = int | Int[Array, ""]
"""A unit's place among those that are held together."""


class RowFacts(eqx.Module):
    """What is known of some rows beside their log-probs."""

    tokens: Float[Array, "*unit row side"]
    """Length in tokens, at least 1."""
    margin: Float[Array, "*unit row"]
    group: Int[Array, "*unit row"]
    """How many of a row's trajectories are the target agent's."""

    @property
    def rows(self) -> int:
        """How many rows there are, of each unit."""
        return self.margin.shape[-1]

    def of(self, unit: UnitIndex, index: Int[Array, " row"]) -> "RowFacts":
        """Those of some rows of a unit."""
        return jax.tree.map(lambda leaf: leaf[unit, index], self)


def row_facts(rows: PreferenceRows) -> RowFacts:
    """The facts of a unit's rows."""
    group = (jnp.asarray(rows.source) == TARGET).sum(-1)
    return RowFacts(jnp.maximum(jnp.asarray(rows.tokens), 1.0), jnp.asarray(rows.margin), group)


@runtime_checkable
class Learner(Protocol):
    """A policy on the rows of a unit. Rows are counted from 0, whatever else lies in memory beside them."""

    @property
    def rows(self) -> int:
        """How many rows there are."""
        ...

    @property
    def start(self) -> Float[Array, " parameter"]:
        """The trained parameters before training, as one vector."""
        ...

    def log_probs(self, vector: Float[Array, " parameter"], index: Int[Array, " row"]) -> Float[Array, "row side"]:
        """Sums of token log-probs of the trajectories of a minibatch, gathered by its rows; differentiable."""
        ...

    def all_log_probs(self, vector: Float[Array, " parameter"]) -> Float[Array, "row side"]:
        """The same of all rows, without gradient: what a reference policy makes of them."""
        ...

    def facts(self, index: Int[Array, " row"]) -> RowFacts:
        """What else is known of a minibatch."""
        ...

    def policy(self, vector: Float[Array, " parameter"]) -> Any:
        """The policy with these parameters."""
        ...
