"""The one sharded axis: members of a population, or lanes of a rollout."""

import jax
from jax.sharding import AxisType, Mesh

POPULATION = "population"


def population_mesh(devices: int | None = None) -> Mesh:
    """A mesh of all devices, or of the first few, along the population axis."""
    chosen = jax.devices()[:devices]
    return jax.make_mesh((len(chosen),), (POPULATION,), axis_types=(AxisType.Auto,), devices=chosen)
