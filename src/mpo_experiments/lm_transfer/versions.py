"""Versions that the results of a transfer experiment depend on."""

import importlib.metadata
import platform

PACKAGES = ("mirror-po", "torch", "trl", "transformers", "jax", "numpy")


def llm_versions() -> dict[str, str]:
    """Versions of this package and of the libraries that train."""
    return {name: importlib.metadata.version(name) for name in PACKAGES} | {"python": platform.python_version()}
