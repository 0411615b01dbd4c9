"""What a result depends on besides its settings."""

import hashlib
from typing import Any

import jax

from mpo_core.data.specification import parse_data_spec
from mpo_core.settings import InnerLoopSettings
from mpo_experiments.agents.lookup import agents_folder, load_card
from mpo_experiments.settings.listed import split_data
from mpo_experiments.tasks.registry import task_spec
from mpo_experiments.versions import SIMULATION, versions

PRODUCTS_BEFORE = {"precision": "default", "kernel": "xla"}
"""How matrix products were computed before it was recorded."""


CHANGES_NO_SCORE = ("evosax", "python", "count")
"""Of versions and devices those that change no score: the search's own library, Python, how many devices there are."""


def devices() -> dict[str, str | int]:
    """What the programs ran on: bytes repeat only where these are the same."""
    return {"platform": jax.default_backend(), "count": jax.device_count(), "kind": jax.devices()[0].device_kind}


def computed_by(inner: InnerLoopSettings) -> dict[str, str]:
    """How the matrix products of inner loops are computed, whatever is written down of settings."""
    kernel = "xla" if inner.kernel == "auto" else inner.kernel
    return {"precision": inner.precision, "kernel": kernel}


def made_here(task: str, data: str, inner: InnerLoopSettings) -> dict[str, Any]:
    """What scores on a task follow from besides their settings: agents, physics, programs and devices."""
    return {
        "agents": agents_hash(task, data), "versions": versions(), "devices": devices(),
        "products": computed_by(inner), "backend": task_spec(task).backend,
    }  # fmt: skip


def made_elsewhere(found: dict[str, Any], here: dict[str, Any]) -> str:
    """What of the programs or the device was another one; empty where scores would be as they were.

    How many devices share the work changes no score, nor does what only a search uses.

    Args:
        found: what is recorded of a result; parts that were not recorded once have the values of that time.
        here: as of `made_here`.
    """
    old, now = _named_parts({"products": PRODUCTS_BEFORE} | found), _named_parts(here)
    changed = next((name for name in now if old.get(name) != now[name]), None)
    return "" if changed is None else f"was made with {changed} {old.get(changed)}, and here is {now[changed]}"


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


def _named_parts(made: dict[str, Any]) -> dict[str, str]:
    parts = [made.get(name, {}) for name in ("versions", "devices", "products")]
    told = {name: value for part in parts for name, value in part.items() if name not in CHANGES_NO_SCORE}
    return {"backend": str(made.get("backend"))} | {name: str(value) for name, value in told.items()}


def hash_of(parts: list[str]) -> str:
    """SHA-256 over texts."""
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
