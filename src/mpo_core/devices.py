"""The one sharded axis: members of a population, or envs of a rollout."""

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from jaxtyping import PyTree

POPULATION = "population"
CPU_ENVS = 64
"""Episodes that a CPU device takes side by side: the physics of more do not fit its cache (docs/performance.md)."""
ACCELERATOR_ENVS = 1024
"""Episodes of a block that an accelerator takes side by side."""


def round_up(count: int, mesh: Mesh) -> int:
    """The least multiple of the devices in a mesh that is not under `count`."""
    return -(-count // mesh.size) * mesh.size


def is_cpu(mesh: Mesh) -> bool:
    """Whether a mesh is of CPU devices."""
    return mesh.devices.flat[0].platform == "cpu"


def block_envs(mesh: Mesh) -> int:
    """Episodes that all devices of a mesh take side by side."""
    return mesh.size * (CPU_ENVS if is_cpu(mesh) else ACCELERATOR_ENVS)


def population_mesh(devices: int | None = None) -> Mesh:
    """A mesh of all devices of this process, or of the first few, along the population axis."""
    return _mesh(jax.local_devices()[:devices])


def world_mesh() -> Mesh:
    """A mesh of the devices of all processes; `population_mesh()` where there is one process."""
    return _mesh(jax.devices())


def replicated(mesh: Mesh) -> NamedSharding:
    """Whole on every device of a mesh."""
    return NamedSharding(mesh, PartitionSpec())


def replicate(tree: PyTree, mesh: Mesh) -> PyTree:
    """Puts arrays whole on every device of a mesh; where processes share it, each must hold the same values."""
    whole = replicated(mesh)
    if whole.is_fully_addressable:
        return jax.device_put(tree, whole)

    def put(leaf) -> jax.Array:
        held = np.asarray(leaf)
        return jax.make_array_from_callback(held.shape, whole, lambda index: held[index])

    return jax.tree.map(put, tree)


def bring_home(tree: PyTree) -> PyTree:
    """Replicated arrays as arrays of this process alone; as they are where no other process holds them."""

    def home(leaf: jax.Array) -> jax.Array:
        return leaf if leaf.is_fully_addressable else leaf.addressable_data(0)

    return jax.tree.map(home, tree)


def _mesh(devices: list) -> Mesh:
    return jax.make_mesh((len(devices),), (POPULATION,), axis_types=(AxisType.Auto,), devices=devices)
