"""One compiled rollout for every purpose: datasets, baselines and final tests share it, whatever their horizon."""

from collections.abc import Callable, Iterator
from functools import partial

import jax
import numpy as np
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import Array, Key, UInt32

from mpo_core.devices import POPULATION, block_envs, is_cpu, population_mesh, round_up
from mpo_core.memory import recorded_episode_bytes
from mpo_core.policies.policy import AbstractPolicy
from mpo_core.rollout.envs import Envs, advance, start_envs
from mpo_core.rollout.task import Task
from mpo_core.rollout.trajectory import Trajectory


class RolloutProgram:
    """Rolls policies out in blocks: `envs` episodes side by side, `chunk` steps a call, sharded over the devices.

    Physics programs are slow to compile, so blocks have one shape: shorter requests are padded, longer ones split.

    Args:
        envs: episodes a block, rounded up to the devices; None: as many as the devices take best.
    """

    def __init__(self, task: Task, *, envs: int | None = None, chunk: int = 50, mesh: Mesh | None = None):
        self.task = task
        self.chunk = chunk
        self.mesh = mesh if mesh is not None else population_mesh()
        each = recorded_episode_bytes(task.observation_size + task.action_size + 2, chunk)
        self.envs = round_up(block_envs(self.mesh, each) if envs is None else envs, self.mesh)
        self.fills_blocks = not is_cpu(self.mesh)
        """Whether blocks are so large that several requests should share them."""
        env, whole = PartitionSpec(POPULATION), PartitionSpec()
        # scans over brax states fail the varying-axes check, hence check_vma=False
        shard = partial(jax.shard_map, mesh=self.mesh, check_vma=False)
        self._start = jax.jit(shard(partial(_start_from_data, task), in_specs=(env, env, env), out_specs=env))
        self._advance = jax.jit(
            shard(
                partial(advance, task, steps=chunk),
                in_specs=(env, env, whole),
                out_specs=(env, env),
            )
        )

    def trajectories(
        self,
        policies: AbstractPolicy,
        policy_index: np.ndarray,
        keys: tuple[Key[Array, " episode"], Key[Array, " episode"]],
        *,
        horizon: int,
        noise: float = 1.0,
    ) -> Trajectory:
        """Whole episodes, as numpy arrays with axes (episode, time, ...).

        Args:
            policies: policies with a leading axis on every leaf.
            policy_index: the policy of each episode.
            keys: the reset key and the action key of each episode.
            horizon: steps an episode.
            noise: 1 samples actions, 0 takes the mode.
        """
        blocks = list(self.blocks(policies, policy_index, keys, horizon=horizon, noise=noise))
        return jax.tree.map(lambda *parts: np.concatenate(parts), *blocks)

    def blocks(
        self,
        policies: AbstractPolicy,
        policy_index: np.ndarray,
        keys: tuple[Key[Array, " episode"], Key[Array, " episode"]],
        *,
        horizon: int,
        noise: float = 1.0,
    ) -> Iterator[Trajectory]:
        """`trajectories` piece by piece, so that a caller can show progress."""
        # on the host, where slicing compiles nothing
        policies = jax.tree.map(np.asarray, policies)
        key_data = [np.asarray(jax.random.key_data(key)) for key in keys]
        count = len(policy_index)
        starts = range(0, count, self.envs)

        def block_at(first: int) -> Trajectory:
            chosen = np.minimum(np.arange(first, first + self.envs), count - 1)
            block_policies = jax.tree.map(lambda leaf: leaf[policy_index[chosen]], policies)
            return self._block(block_policies, [data[chosen] for data in key_data], horizon, noise)

        for first, block in zip(starts, self._rolled_out(starts, block_at), strict=True):
            kept = min(self.envs, count - first)
            yield jax.tree.map(lambda leaf, kept=kept: leaf[:kept], block)

    def _rolled_out(self, starts: range, block_at: Callable[[int], Trajectory]) -> Iterator[Trajectory]:
        """The blocks that start at these episodes, in order."""
        return map(block_at, starts)

    def returns(
        self,
        policies: AbstractPolicy,
        policy_index: np.ndarray,
        keys: tuple[Key[Array, " episode"], Key[Array, " episode"]],
        *,
        horizon: int,
        noise: float = 1.0,
    ) -> np.ndarray:
        """Undiscounted return of each episode; arguments as for `trajectories`."""
        blocks = self.blocks(policies, policy_index, keys, horizon=horizon, noise=noise)
        return np.concatenate([block.return_ for block in blocks])

    def _block(self, policies: AbstractPolicy, key_data: list[np.ndarray], horizon: int, noise: float) -> Trajectory:
        parts = []
        for part in self._chunks(policies, self._start(policies, *key_data), horizon, noise):
            parts.append(jax.tree.map(np.asarray, part))
            if not parts[-1].alive[:, -1].any():  # every episode has ended
                break
        whole = jax.tree.map(lambda *leaves: np.concatenate(leaves, axis=1)[:, :horizon], *parts)
        missing = horizon - whole.alive.shape[1]
        return jax.tree.map(lambda leaf: np.pad(leaf, [(0, 0), (0, missing)] + [(0, 0)] * (leaf.ndim - 2)), whole)

    def _chunks(self, policies: AbstractPolicy, envs: Envs, horizon: int, noise: float) -> Iterator[Trajectory]:
        """Steps in calls of a chunk. An accelerator has its next call before the last is fetched, and does not wait."""
        waiting = None
        for _ in range(0, horizon, self.chunk):
            envs, part = self._advance(policies, envs, np.float32(noise))
            if waiting is not None:
                yield waiting
            if self.fills_blocks:
                waiting = part
            else:
                yield part
        if waiting is not None:
            yield waiting


def _start_from_data(
    task: Task, policies: AbstractPolicy, reset_key: UInt32[Array, "env word"], action_key: UInt32[Array, "env word"]
) -> Envs:
    return start_envs(task, policies, jax.random.wrap_key_data(reset_key), jax.random.wrap_key_data(action_key))
