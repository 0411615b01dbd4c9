"""Rolling out the agents of a task into pairs of trajectories from common start states."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, Key, PRNGKeyArray

from mpo_core.data.pair_bank import PairBank
from mpo_core.data.specification import DataSpec, kinds_of_rows
from mpo_core.policies.policy import AbstractPolicy, stacked_count
from mpo_core.rollout.program import RolloutProgram
from mpo_core.seeds import Purpose
from mpo_core.settings import RowSettings, UnusableSetting


def generate_pairs(
    program: RolloutProgram,
    agents: AbstractPolicy,
    spec: DataSpec,
    size: RowSettings,
    *,
    key: PRNGKeyArray,
    advance: Callable[[int], None] = lambda steps: None,
) -> PairBank:
    """Pairs of trajectories of the kinds that a specification asks for, both of a pair from the same start state.

    Args:
        agents: original, target and perhaps other agent, stacked along a leading axis.
        size: how many pairs, how long.
        advance: told the number of environment steps done, block by block.

    Raises:
        UnusableSetting: the specification asks for an agent that is not there.
    """
    return generate_banks(program, agents, spec, size, [key], advance)[0]


def generate_banks(
    program: RolloutProgram,
    agents: AbstractPolicy,
    spec: DataSpec,
    size: RowSettings,
    keys: list[PRNGKeyArray],
    advance: Callable[[int], None] = lambda steps: None,
) -> list[PairBank]:
    """The same for several keys, their episodes one behind the other: blocks are filled up by the next bank's."""
    agents = agents_for(spec, agents)
    planned = [pair_episodes(spec, size.count, key=key) for key in keys]
    source = np.stack([one[0] for one in planned])
    first, second = (jnp.concatenate([one[1][side] for one in planned]) for side in (0, 1))
    blocks = []
    for block in program.blocks(agents, source.reshape(-1), (first, second), horizon=size.length):
        blocks.append(block)
        advance(block.alive.shape[0] * size.length)
    whole = jax.tree.map(lambda *parts: np.concatenate(parts), *blocks)

    def bank(place: int) -> PairBank:
        def by_pair(leaf: np.ndarray) -> np.ndarray:
            return leaf.reshape(len(keys), size.count, 2, *leaf.shape[1:])[place]

        return PairBank(
            observation=by_pair(whole.observation),
            action=by_pair(whole.action),
            alive=by_pair(whole.alive),
            return_=by_pair(whole.return_),
            source=source[place],
        )

    return [bank(place) for place in range(len(keys))]


def pair_episodes(
    spec: DataSpec, pairs: int, *, key: PRNGKeyArray
) -> tuple[Int[np.ndarray, "pair side"], tuple[Key[Array, " episode"], Key[Array, " episode"]]]:
    """Who acts in each pair, and the reset and action keys of its episodes, pair after pair, both sides of one in turn.

    Both episodes of a pair have one reset key, hence one start state; no two episodes share an action key.
    """
    source = np.asarray(kinds_of_rows(spec, pairs), np.int32)
    start_key = jax.random.split(jax.random.fold_in(key, Purpose.START_STATES), pairs)
    action_key = jax.random.split(jax.random.fold_in(key, Purpose.ACTIONS), 2 * pairs)
    return source, (start_key[np.repeat(np.arange(pairs), 2)], action_key)


def agents_for(spec: DataSpec, agents: AbstractPolicy) -> AbstractPolicy:
    """Those of some stacked agents that a specification asks for, so that programs do not depend on the others.

    Raises:
        UnusableSetting: one of them is not there.
    """
    wanted = len(spec.roles)
    if stacked_count(agents) < wanted:
        raise UnusableSetting(f"data '{spec}' need an agent of role '{spec.roles[-1]}', and this task has none")
    return jax.tree.map(lambda leaf: leaf[:wanted], agents)


def stack_agents(*agents: AbstractPolicy) -> AbstractPolicy:
    """Policies of one structure along a leading axis: index 0 is the original agent, 1 the target, 2 the other."""
    return jax.tree.map(lambda *leaves: np.stack(leaves), *agents)
