"""Pairs of trajectories before they are judged, and preference rows drawn from them."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from mpo_core.arrays import AnyArray
from mpo_core.data.judge import judge
from mpo_core.data.rows import PreferenceRows
from mpo_core.data.specification import DataSpec
from mpo_core.rollout.task import Task
from mpo_core.settings import RowSettings


class PairBank(eqx.Module):
    """Unlabelled pairs, both trajectories of one from the same start state, ordered by kind (oo, ot, tt)."""

    observation: Float[AnyArray, "pair side time observation"]
    action: Float[AnyArray, "pair side time action"]
    alive: Float[AnyArray, "pair side time"]
    return_: Float[AnyArray, "pair side"]
    source: Int[AnyArray, "pair side"]
    """0 where the trajectory is the original agent's, 1 where it is the target agent's."""


def bank_shapes(task: Task, size: RowSettings) -> PairBank:
    """Shapes and types of a bank's leaves, as `jax.eval_shape` gives them: what a program can be compiled for."""

    def zeros() -> PairBank:
        steps = (size.count, 2, size.length)
        return PairBank(
            observation=jnp.zeros((*steps, task.observation_size)), action=jnp.zeros((*steps, task.action_size)),
            alive=jnp.zeros(steps), return_=jnp.zeros(steps[:2]), source=jnp.zeros(steps[:2], jnp.int32),
        )  # fmt: skip

    return jax.eval_shape(zeros)


def pair_sources(spec: DataSpec, pairs: int) -> list[tuple[int, int]]:
    """The agents (0 original, 1 target) of each pair, ordered by kind."""
    counts = spec.kind_counts(pairs)
    return [agents for agents, count in zip(((0, 0), (0, 1), (1, 1)), counts, strict=True) for _ in range(count)]


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


def label_pairs(pairs: PairBank, spec: DataSpec, *, key: PRNGKeyArray) -> PreferenceRows:
    """Judges every pair.

    Margins are the differences of return as the labels have them (so never negative), in standard deviations of the
    dataset's differences, the two sides of a pair taken in either order.
    """
    verdict = judge(jnp.asarray(pairs.return_), temperature=spec.temperature, noise=spec.noise, key=key)
    side = jnp.stack([verdict.second_wins, ~verdict.second_wins], axis=1).astype(jnp.int32)

    def sort(leaf: AnyArray) -> Array:
        index = side.reshape(side.shape + (1,) * (leaf.ndim - 2))
        return jnp.take_along_axis(leaf, index, axis=1)

    difference = jnp.abs(pairs.return_[:, 1] - pairs.return_[:, 0])
    deviation = jnp.sqrt(jnp.mean(jnp.square(difference)))
    return PreferenceRows(
        observation=sort(pairs.observation),
        action=sort(pairs.action),
        alive=sort(pairs.alive),
        return_=sort(pairs.return_),
        margin=difference / jnp.maximum(deviation, 1e-12),
        flipped=verdict.flipped,
        source=sort(pairs.source),
    )
