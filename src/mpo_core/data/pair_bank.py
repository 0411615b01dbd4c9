"""Pairs of trajectories before they are judged, and preference rows drawn from them."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from mpo_core.arrays import AnyArray
from mpo_core.data.labels import label
from mpo_core.data.rows import PreferenceRows
from mpo_core.data.specification import DataSpec
from mpo_core.rollout.task import Task
from mpo_core.settings import RowSettings


class PairBank(eqx.Module):
    """Unlabelled pairs, both trajectories of one from the same start state, ordered by kind (`KINDS`)."""

    observation: Float[AnyArray, "pair side time observation"]
    action: Float[AnyArray, "pair side time action"]
    alive: Float[AnyArray, "pair side time"]
    return_: Float[AnyArray, "pair side"]
    source: Int[AnyArray, "pair side"]
    """0 where the trajectory is the original agent's, 1 the target agent's, 2 the other agent's."""


def bank_shapes(task: Task, size: RowSettings) -> PairBank:
    """Shapes and types of a bank's leaves, as `jax.eval_shape` gives them: what a program can be compiled for."""

    def zeros() -> PairBank:
        steps = (size.count, 2, size.length)
        return PairBank(
            observation=jnp.zeros((*steps, task.observation_size)), action=jnp.zeros((*steps, task.action_size)),
            alive=jnp.zeros(steps), return_=jnp.zeros(steps[:2]), source=jnp.zeros(steps[:2], jnp.int32),
        )  # fmt: skip

    return jax.eval_shape(zeros)


def draw_rows(bank: PairBank, spec: DataSpec, rows: int, *, key: PRNGKeyArray) -> PreferenceRows:
    """Draws pairs without replacement, as many of each kind as the specification says, and has them judged anew.

    Raises:
        ValueError: if the bank holds too few pairs.
    """
    held, wanted = spec.kind_counts(bank.return_.shape[0]), spec.kind_counts(rows)
    if any(want > have for want, have in zip(wanted, held, strict=True)):
        raise ValueError(f"a bank of {bank.return_.shape[0]} pairs of '{spec}' cannot give {rows} rows")
    draw_key, judge_key = jax.random.split(key)
    first, chosen = 0, []
    for kind, (have, want) in enumerate(zip(held, wanted, strict=True)):
        order = jax.random.permutation(jax.random.fold_in(draw_key, kind), have)[:want]
        chosen.append(first + order)
        first += have
    index = jnp.concatenate(chosen)
    drawn = jax.tree.map(lambda leaf: leaf[index], bank)
    return label_pairs(drawn, spec, key=judge_key)


class RowLabels(eqx.Module):
    """What labelling makes of pairs: a row's sides, the chosen one first, its margin and whether it was flipped."""

    order: Int[Array, "row side"]
    margin: Float[Array, " row"]
    flipped: Bool[AnyArray, " row"]


def row_labels(
    return_: Float[AnyArray, "row side"],
    length: Float[AnyArray, "row side"],
    source: Int[AnyArray, "row side"],
    spec: DataSpec,
    *,
    key: PRNGKeyArray,
) -> RowLabels:
    """Labels every pair.

    Margins are the differences of return as the labels have them (so never negative), in standard deviations of the
    dataset's differences, the two sides of a pair taken in either order.

    Args:
        return_: true undiscounted return of both trajectories.
        length: alive steps of both.
        source: who made them: 0 original, 1 target, 2 other agent.
    """
    return_ = jnp.asarray(return_)
    verdict = label(spec, return_, length, source, key=key)
    difference = jnp.abs(return_[:, 1] - return_[:, 0])
    deviation = jnp.sqrt(jnp.mean(jnp.square(difference)))
    return RowLabels(
        order=jnp.stack([verdict.second_wins, ~verdict.second_wins], axis=1).astype(jnp.int32),
        margin=difference / jnp.maximum(deviation, 1e-12),
        flipped=verdict.flipped,
    )


def label_pairs(pairs: PairBank, spec: DataSpec, *, key: PRNGKeyArray) -> PreferenceRows:
    """Labels every pair as `row_labels` has it, and puts the chosen trajectory first."""
    labels = row_labels(pairs.return_, pairs.alive.sum(-1), pairs.source, spec, key=key)

    def sort(leaf: AnyArray) -> Array:
        index = labels.order.reshape(labels.order.shape + (1,) * (leaf.ndim - 2))
        return jnp.take_along_axis(leaf, index, axis=1)

    return PreferenceRows(
        observation=sort(pairs.observation),
        action=sort(pairs.action),
        alive=sort(pairs.alive),
        return_=sort(pairs.return_),
        margin=labels.margin,
        flipped=labels.flipped,
        source=sort(pairs.source),
    )
