"""What a result depends on besides its settings."""

import hashlib

import jax

from mpo_core.data.specification import parse_data_spec
from mpo_core.settings import InnerLoopSettings
from mpo_experiments.agents.lookup import agents_folder, load_card
from mpo_experiments.settings.run_config import split_data
from mpo_experiments.versions import SIMULATION, versions

PRODUCTS_BEFORE = {"precision": "default", "kernel": "xla"}
"""How matrix products were computed before it was recorded."""


def devices() -> dict[str, str | int]:
    """What the programs ran on: bytes repeat only where these are the same."""
    return {"platform": jax.default_backend(), "count": jax.device_count(), "kind": jax.devices()[0].device_kind}


def computed_by(inner: InnerLoopSettings) -> dict[str, str]:
    """How the matrix products of inner loops are computed, whatever is written down of settings."""
    kernel = "xla" if inner.kernel == "auto" else inner.kernel
    return {"precision": inner.precision, "kernel": kernel}


def agents_hash(task: str, data: str = "base") -> str:
    """SHA-256 over the files of the task's agents that kinds of data ask for: original and target, perhaps other.

    Args:
        data: one data specification, or several joined by commas.
    """
    folder = agents_folder(task)
    roles = max((parse_data_spec(text).roles for text in split_data(data)), key=len)
    return hashlib.sha256(b"".join((folder / f"{role}.safetensors").read_bytes() for role in roles)).hexdigest()


def data_hash(task: str, backend: str, data: str, rows: tuple[int, int], seed: int) -> str:
    """Names the data of a run: everything that its trajectories follow from, agents, versions and devices included."""
    card = load_card(task)
    agents = (agents_hash(task, data), card.activation, repr(card.bin_width))
    return hash_of([task, backend, data, *map(str, rows), str(seed), *agents, *simulation().values()])


def simulation() -> dict[str, str]:
    """The programs and devices that trajectories repeat byte for byte on."""
    found, on = versions(), devices()
    return {name: found[name] for name in SIMULATION} | {name: str(value) for name, value in on.items()}


def hash_of(parts: list[str]) -> str:
    """SHA-256 over texts."""
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
