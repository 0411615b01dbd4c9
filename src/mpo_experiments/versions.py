"""Versions that results depend on besides their settings; asking for them loads no library."""

import importlib.metadata
import platform

SIMULATION = ("mirror-po", "jax", "jaxlib", "brax", "mujoco")
"""Packages that a trajectory's bytes follow from."""
SEARCH = (*SIMULATION, "evosax", "equinox", "optax", "numpy")
"""Of searches, comparisons and whatever else trains policies of tasks."""
LANGUAGE = ("mirror-po", "torch", "trl", "transformers", "jax", "numpy")
"""Of a transfer experiment."""
ALIGNMENT = ("mirror-po", "jax", "torch", "trl", "transformers", "peft", "datasets")
"""Of `mpo align`."""


def versions(packages: tuple[str, ...] = SEARCH) -> dict[str, str]:
    """Installed versions of the packages, and of Python."""
    return {name: importlib.metadata.version(name) for name in packages} | {"python": platform.python_version()}
