"""The one sharded axis: members of a population, or lanes of a rollout."""

import jax
from jax.sharding import AxisType, Mesh

POPULATION = "population"


def round_up(count: int, mesh: Mesh) -> int:
    """The least multiple of the devices in a mesh that is not under `count`."""
    return -(-count // mesh.size) * mesh.size


def population_mesh(devices: int | None = None) -> Mesh:
    """A mesh of all devices, or of the first few, along the population axis."""
    chosen = jax.devices()[:devices]
    return jax.make_mesh((len(chosen),), (POPULATION,), axis_types=(AxisType.Auto,), devices=chosen)
