"""Several processes, on one machine or many, as one run: `jax.distributed`, and what they tell each other.

Every process runs the same program. Rollouts are shared out block by block, jobs of the search are sharded over the
devices of all; process 0 alone writes the run folder. Processes need equally many devices.
"""

import collections
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec
from jaxtyping import PyTree

from adapters.processes.process_group import ProcessGroup
from mpo_core.devices import POPULATION, replicated, world_mesh
from mpo_core.failures import WorkFailed
from mpo_core.rollout.program import RolloutProgram
from mpo_core.rollout.task import Task
from mpo_core.rollout.trajectory import Trajectory

PATIENCE = 300
"""Seconds that a process waits for the others at the start."""


def join(process_group: ProcessGroup) -> None:
    """Meets the other processes. To be called before anything starts JAX.

    Raises:
        ValueError: no cluster is found, this process cannot be the coordinator, or devices are not as many everywhere.
        WorkFailed: the others did not come within `PATIENCE`.
    """
    if process_group.process == 0:
        _check_port(str(process_group.coordinator))
    # its handler of SIGTERM would take the place of ours
    jax.config.update("jax_enable_preemption_service", False)
    where = process_group.coordinator or "the coordinator"
    try:
        _beside(lambda: _meet(process_group))
        _check_devices()
        _beside(_shake_hands)
    except (TimeoutError, jax.errors.JaxRuntimeError):
        raise WorkFailed(
            f"--distributed: the processes did not all meet at {where} within {PATIENCE} s: start all of them, and see "
            "that its host and port can be reached from every machine"
        ) from None


def _meet(process_group: ProcessGroup) -> None:
    try:
        jax.distributed.initialize(
            process_group.coordinator, process_group.processes, process_group.process,
            cluster_detection_method=None if process_group.detected else "deactivate",
            initialization_timeout=10 * PATIENCE,  # at its end the process would be aborted
        )  # fmt: skip
    except ValueError:
        raise ValueError(
            "--distributed: no cluster is found (SLURM, Open MPI, ...): name --coordinator HOST:PORT, --processes N "
            "and --process I"
        ) from None
    jax.devices()  # the processes tell each other what they have


def _check_devices() -> None:
    counts = sorted(collections.Counter(device.process_index for device in jax.devices()).values())
    if counts[0] < counts[-1]:
        raise ValueError(
            f"--distributed: every process needs as many devices, but some have {counts[0]} and some {counts[-1]}; "
            "on CPUs, XLA_FLAGS=--xla_force_host_platform_device_count=N sets how many"
        )


def _shake_hands() -> None:
    """Opens the connections of all collectives while the processes are together: Gloo waits half a minute for that, but
    as long as it takes for whoever is late afterwards."""
    mesh = world_mesh()
    ones = jax.jit(lambda: jnp.ones(mesh.size), out_shardings=NamedSharding(mesh, PartitionSpec(POPULATION)))()
    jax.block_until_ready(jax.jit(lambda x: x + 1, out_shardings=replicated(mesh))(ones))
    from_first(np.int32(0))


def _beside(call: Callable[[], None]) -> None:
    """Calls in a thread, so that Ctrl-C is heard meanwhile.

    Raises:
        TimeoutError: it takes longer than `PATIENCE`; the thread is left behind.
    """
    failures: list[Exception] = []

    def run() -> None:
        try:
            call()
        except Exception as error:
            failures.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    deadline = time.monotonic() + PATIENCE
    while thread.is_alive():
        thread.join(0.1)
        if time.monotonic() > deadline:
            raise TimeoutError
    if failures:
        raise failures[0]


def _check_port(coordinator: str) -> None:
    """Where it cannot bind its port, JAX ends the process without a word of advice."""
    port = int(coordinator.rpartition(":")[2])
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
        except OSError as error:
            raise ValueError(f"--coordinator {coordinator}: port {port} cannot be opened ({error.strerror})") from None


def leads() -> bool:
    """Whether this process writes and shows what the run does."""
    return jax.process_index() == 0


def from_first(tree: PyTree) -> PyTree:
    """What process 0 holds, to the bit; others give arrays of the same shapes."""
    if jax.process_count() == 1:
        return tree
    from jax.experimental.multihost_utils import process_allgather

    return jax.tree.map(lambda leaf: leaf[0], process_allgather(tree))


def told_by_first(message: Any) -> Any:
    """What process 0 says (anything that JSON has); what the others say is not heard."""
    content = np.frombuffer(json.dumps(message).encode(), np.uint8)
    size = int(from_first(np.int32(content.size)))
    padded = np.resize(content, size)
    return json.loads(np.asarray(from_first(padded)).tobytes())


class SharedRollouts(RolloutProgram):
    """Every process rolls out its share of the blocks and gets those of the others.

    Blocks hold the same envs as in a single process with as many devices, and come in the same order: all processes
    must ask for the same episodes at the same time.
    """

    def _rolled_out(self, starts: range, block_at: Callable[[int], Trajectory]) -> Iterator[Trajectory]:
        from jax.experimental.multihost_utils import process_allgather

        for first in range(0, len(starts), jax.process_count()):
            own = min(first + jax.process_index(), len(starts) - 1)
            blocks = process_allgather(block_at(starts[own]))
            for place in range(min(jax.process_count(), len(starts) - first)):
                yield jax.tree.map(lambda leaf, place=place: leaf[place], blocks)


def rollout_program(task: Task, *, chunk: int) -> RolloutProgram:
    """One that is shared where there are several processes."""
    kind = RolloutProgram if jax.process_count() == 1 else SharedRollouts
    return kind(task, chunk=chunk)
