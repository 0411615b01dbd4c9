"""Agent files: a task's original and target policy, and a card that says how they were made and how good they are."""

import os
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import safetensors.numpy
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError

from adapters.files import write_json, write_whole
from adapters.tasks import task_spec
from mpo_core.arrays import AnyArray
from mpo_core.policy import DEFAULT_BIN_WIDTH, GaussianPolicy, Layer

BUNDLED = Path(__file__).parent / "bundled" / "agents"
AGENTS_DIR_VARIABLE = "MPO_AGENTS_DIR"
CARD_FILE = "card.json"
SCHEMA_VERSION = 1
BUFFERS = ("observation_mean", "observation_std", "raw_scale")

Role = Literal["original", "target"]
ROLES: tuple[Role, Role] = ("original", "target")


class Measured(BaseModel):
    """Mean undiscounted return with its 95% interval over episodes."""

    model_config = ConfigDict(extra="forbid")

    return_: float = Field(alias="return")
    low: float
    high: float
    episodes: int


class AgentRecord(BaseModel):
    """One agent: its place on the training run, and its return with sampled and with mode actions."""

    model_config = ConfigDict(extra="forbid")

    steps: int
    sampled: Measured
    mode: Measured


class AgentsCard(BaseModel):
    """Where a task's two agents come from and how good they are."""

    model_config = ConfigDict(extra="forbid")

    schema_version: Literal[1] = SCHEMA_VERSION
    task: str
    backend: str
    command: str
    """Trains these agents again."""
    rule: str
    """How the two were chosen among the snapshots."""
    settings: dict[str, Any]
    """PPO settings, the seed among them."""
    snapshots: dict[int, float]
    """The training run: environment steps -> return over the evaluation episodes (sampled actions)."""
    horizon: int
    bin_width: float
    activation: str
    measurement_seed: int
    versions: dict[str, str]
    date: str
    original: AgentRecord
    target: AgentRecord


def save_agent(path: Path, policy: GaussianPolicy) -> None:
    """Writes one policy: tensors only, since safetensors writes metadata in random order."""
    tensors: dict[str, AnyArray] = {name: getattr(policy, name) for name in BUFFERS}
    for index, layer in enumerate(policy.layers):
        tensors |= dict(zip(_layer_names(index), (layer.kernel, layer.bias), strict=True))
    # safetensors scrambles arrays that are not contiguous, without a word
    contiguous = {name: np.ascontiguousarray(np.asarray(leaf, np.float32)) for name, leaf in tensors.items()}
    write_whole(path, safetensors.numpy.save(contiguous))


def load_agent(path: Path, *, activation: str = "relu", bin_width: float = DEFAULT_BIN_WIDTH) -> GaussianPolicy:
    """Reads one policy; what its tensors do not say (activation, bin width) is on the card.

    Raises:
        ValueError: the file is missing, damaged or not an agent's.
    """
    tensors = _read_tensors(path)
    layers = [_layer_names(index) for index in range(sum(name.endswith(".kernel") for name in tensors))]
    if not layers or set(tensors) != {*BUFFERS, *(name for pair in layers for name in pair)}:
        raise ValueError(f"{path} holds no agent: its tensors are {', '.join(sorted(tensors)) or 'none'}")
    if not _shapes_agree(tensors, layers):
        raise ValueError(f"{path} holds no agent: the shapes of its tensors do not fit together")
    if not all(np.isfinite(tensor).all() for tensor in tensors.values()):
        raise ValueError(f"{path} holds a broken agent: some of its numbers are not finite")
    arrays = {name: jnp.asarray(tensor, jnp.float32) for name, tensor in tensors.items()}
    return GaussianPolicy(
        observation_mean=arrays["observation_mean"],
        observation_std=arrays["observation_std"],
        layers=tuple(Layer(arrays[kernel], arrays[bias]) for kernel, bias in layers),
        raw_scale=arrays["raw_scale"],
        activation=activation,
        bin_width=bin_width,
    )


def save_agents(folder: Path, card: AgentsCard, agents: tuple[GaussianPolicy, GaussianPolicy]) -> None:
    """Writes `original.safetensors`, `target.safetensors` and, last, `card.json`."""
    for role, agent in zip(ROLES, agents, strict=True):
        save_agent(folder / f"{role}.safetensors", agent)
    write_json(folder / CARD_FILE, card.model_dump(mode="json", by_alias=True))


def load_agents(task: str) -> tuple[GaussianPolicy, GaussianPolicy]:
    """The original and the target agent of a task, of one structure, so that they can be stacked.

    Raises:
        ValueError: no such task, no agents for it, or agents that cannot be read or do not belong together.
    """
    folder, card = agents_folder(task), load_card(task)
    original, target = (
        load_agent(folder / f"{role}.safetensors", activation=card.activation, bin_width=card.bin_width)
        for role in ROLES
    )
    if jax.tree.map(jnp.shape, original) != jax.tree.map(jnp.shape, target):
        raise ValueError(f"the two agents in {folder} have different networks")
    return original, target


def load_card(task: str) -> AgentsCard:
    """The card of a task's agents.

    Raises:
        ValueError: no such task, no agents for it, or a card that cannot be read.
    """
    path = agents_folder(task) / CARD_FILE
    try:
        card = AgentsCard.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise ValueError(f"{path} is not an agents' card: {where}: {first['msg']}") from None
    if card.task != task:
        raise ValueError(f"{path} is the card of task '{card.task}', not of '{task}'")
    return card


def agents_folder(task: str) -> Path:
    """Where a task's agents are: in the folder that `MPO_AGENTS_DIR` names, if they are there, or in the package.

    Raises:
        ValueError: no such task, or no agents for it.
    """
    spec = task_spec(task)
    name, own = spec.name, os.environ.get(AGENTS_DIR_VARIABLE)
    for root in (Path(own) if own else None, spec.agents_root, BUNDLED):
        if root is not None and (root / name / CARD_FILE).is_file():
            return root / name
    raise ValueError(f"there are no agents for task '{name}': train them with `mpo agents train --task {name}`")


def _layer_names(index: int) -> tuple[str, str]:
    return f"layers.{index}.kernel", f"layers.{index}.bias"


def _read_tensors(path: Path) -> dict[str, np.ndarray]:
    try:
        return safetensors.numpy.load(path.read_bytes())
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from None
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is not a safetensors file, or is damaged: {error}") from None


def _shapes_agree(tensors: dict[str, np.ndarray], layers: list[tuple[str, str]]) -> bool:
    kernels = [tensors[kernel].shape for kernel, _ in layers]
    sizes = [tensors["observation_mean"].shape, *(tensors[bias].shape for _, bias in layers)]
    if tensors["observation_std"].shape != sizes[0] or tensors["raw_scale"].shape != sizes[-1]:
        return False
    return all(kernel == before + after for kernel, before, after in zip(kernels, sizes[:-1], sizes[1:], strict=True))
