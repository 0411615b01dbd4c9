"""Labels of pairs: a judge on true returns, then the label faults of a data specification."""

import zlib

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float, Int, PRNGKeyArray

from mpo_core.arrays import AnyArray
from mpo_core.data.faults.noisy import Noisy
from mpo_core.data.labelled_pairs import LabelledPairs
from mpo_core.data.specification import DataSpec


class Verdict(eqx.Module):
    """The label of each row."""

    second_wins: Bool[AnyArray, " row"]
    """True where the label, noise included, prefers the second trajectory."""
    flipped: Bool[AnyArray, " row"]
    """True where label faults turned what the judge said."""


def label(
    spec: DataSpec,
    return_: Float[AnyArray, "row side"],
    length: Float[AnyArray, "row side"],
    source: Int[AnyArray, "row side"],
    *,
    key: PRNGKeyArray,
) -> Verdict:
    """Has pairs judged, and then the labels go through every label fault of a specification.

    Args:
        return_: true undiscounted return of both trajectories, in units of return.
        length: of both, in steps (words).
        source: who made them: 0 original, 1 target, 2 other agent.
    """
    judge_key, noise_key = jax.random.split(key)
    nothing = jnp.zeros(jnp.shape(return_)[:1], bool)
    unlabelled = LabelledPairs(jnp.asarray(return_), jnp.asarray(length), jnp.asarray(source), nothing)
    said = pairs = spec.judge.apply(unlabelled, key=judge_key)
    for fault in spec.label_faults:
        pairs = fault.apply(pairs, key=_own_key(fault.name, noise_key))
    return Verdict(pairs.second_wins, pairs.second_wins ^ said.second_wins)


def _own_key(name: str, key: PRNGKeyArray) -> PRNGKeyArray:
    """The key of a fault; `noisy`, the first that there was, has the one that all others are folded into."""
    return key if name == Noisy.name else jax.random.fold_in(key, zlib.crc32(name.encode()))
