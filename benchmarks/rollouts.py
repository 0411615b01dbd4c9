"""Evaluation as the search does it, and as anyone would write it with brax: on one device, or on one core each."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec
from jaxtyping import Array

from adapters.brax.environments import BraxTask
from mpo_core.devices import POPULATION, population_mesh, round_up
from mpo_core.policies.gaussian import GaussianPolicy
from mpo_core.rollout.envs import env_returns, start_envs

ROOT = Path(__file__).parent.parent
EPISODES = 4

PINNED = """
import os, sys
os.sched_setaffinity(0, {{{core}}})
os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=1"
import benchmarks
from benchmarks.rollouts import pinned_process
pinned_process({task!r}, {envs}, {horizon})
"""


def sharded_rollout(task: BraxTask, policy: GaussianPolicy, envs: int, horizon: int) -> Callable[[], Array]:
    """Returns of so many episodes, split over the devices, four a policy: how the search judges its members."""
    mesh = population_mesh()
    count = round_up(envs // EPISODES, mesh)
    keys = jax.random.split(jax.random.key(5), count * EPISODES)
    policies = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (count, *leaf.shape)), policy)

    def shard(policies: GaussianPolicy, keys: Array) -> Array:
        return env_returns(task, policies, start_envs(task, policies, keys, keys), jnp.ones(()), horizon)

    split = PartitionSpec(POPULATION)
    program = jax.jit(jax.shard_map(shard, mesh=mesh, in_specs=(split, split), out_specs=split, check_vma=False))
    return lambda: program(policies, keys)


def plain_rollout(task: BraxTask, policy: GaussianPolicy, envs: int, horizon: int) -> Callable[[], Array]:
    """The same episodes by one vmapped environment on one device, with one policy for all."""
    env, keys = task.env, jax.random.split(jax.random.key(5), envs)

    @jax.jit
    def program(keys: Array) -> Array:
        def body(carry: tuple, number: Array) -> tuple[tuple, None]:
            state, alive, total = carry
            noise = jax.vmap(lambda key: jax.random.normal(jax.random.fold_in(key, number), (task.action_size,)))(keys)
            action = policy.mode(state.obs) + policy.scale * noise
            state = jax.vmap(env.step)(state, jnp.clip(action, -1, 1))
            return (state, alive * (1 - state.done), total + jnp.where(alive > 0, state.reward, 0.0)), None

        start = (jax.vmap(env.reset)(keys), jnp.ones(envs), jnp.zeros(envs))
        return jax.lax.scan(body, start, jnp.arange(horizon))[0][2]

    return lambda: program(keys)


@contextlib.contextmanager
def pinned_rollouts(task: str, envs: int, horizon: int) -> Iterator[Callable[[], float]]:
    """Two processes with a plain rollout each, pinned to a core each; a call has both do one, side by side.

    Yields:
        A function that gives the steps a second that both made together.
    """
    cores = sorted(os.sched_getaffinity(0))[:2]
    codes = [PINNED.format(core=core, task=task, envs=envs, horizon=horizon) for core in cores]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "bufsize": 1}
    running = [subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, **pipes) for code in codes]

    def both() -> float:
        for process in running:
            _pipe(process.stdin).write("go\n")
        return sum(float(_pipe(process.stdout).readline()) for process in running)

    try:
        for process in running:
            assert _pipe(process.stdout).readline() == "ready\n"
        yield both
    finally:
        for process in running:
            process.communicate()  # the end of its input is the end of it


def _pipe(found: IO[str] | None) -> IO[str]:
    assert found is not None, "the process was started without a pipe"
    return found


def pinned_process(task: str, envs: int, horizon: int) -> None:
    """One of them: compiles, and prints its rate whenever it is told to go."""
    from benchmarks.timing import finished, seconds_of
    from mpo_experiments.agents.lookup import load_agents
    from mpo_experiments.tasks.load import load_task

    environment, policy = load_task(task), jax.tree.map(jnp.asarray, load_agents(task)[0])
    assert isinstance(environment, BraxTask)
    call = plain_rollout(environment, policy, envs, horizon)
    finished(call)
    print("ready", flush=True)
    for _ in sys.stdin:
        print(envs * horizon / seconds_of(call), flush=True)
