"""The one sharded axis: members of a population, or lanes of a rollout."""

import jax
from jax.sharding import AxisType, Mesh

POPULATION = "population"
MEMORY_SHARE = 0.5
"""Of an accelerator's memory, what the jobs under way may take; data and physics need the rest."""
DEFAULT_MEMORY = 16 * 2**30
"""Bytes of an accelerator that does not say how many it has."""


def round_up(count: int, mesh: Mesh) -> int:
    """The least multiple of the devices in a mesh that is not under `count`."""
    return -(-count // mesh.size) * mesh.size


def population_mesh(devices: int | None = None) -> Mesh:
    """A mesh of all devices, or of the first few, along the population axis."""
    chosen = jax.devices()[:devices]
    return jax.make_mesh((len(chosen),), (POPULATION,), axis_types=(AxisType.Auto,), devices=chosen)


def jobs_at_once(job_bytes: int, jobs: int, mesh: Mesh) -> int:
    """How many jobs a device of the mesh should run side by side: one on a CPU core, else what its memory holds.

    Args:
        job_bytes: what one job keeps on the device.
        jobs: all jobs of the mesh; no device gets more than its share.
    """
    device = mesh.devices.flat[0]
    share = -(-jobs // mesh.size)
    if device.platform == "cpu":
        return 1
    limit = (device.memory_stats() or {}).get("bytes_limit", DEFAULT_MEMORY)
    return max(1, min(share, int(MEMORY_SHARE * limit) // max(job_bytes, 1)))
