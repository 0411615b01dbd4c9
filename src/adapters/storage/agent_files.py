"""Agent files: a task's original and target policy, perhaps a third, and a card that says how they were made and how
good they are."""

import hashlib
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import safetensors.numpy
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError, field_validator

from adapters.storage.files import read_bytes, write_json, write_whole
from adapters.storage.language_files import LanguageFacts, language_policy, language_tensors
from adapters.storage.sealed import first_fault
from mpo_core.arrays import AnyArray
from mpo_core.names import shortened, unknown_name
from mpo_core.policies.gaussian import ACTIVATIONS, DEFAULT_BIN_WIDTH, GaussianPolicy, Layer
from mpo_core.policies.language import LanguagePolicy
from mpo_core.policies.policy import AbstractPolicy

CARD_FILE = "card.json"
SCHEMA_VERSION = 1
BUFFERS = ("observation_mean", "observation_std", "raw_scale")

Role = Literal["original", "target", "other"]
ROLES: tuple[Role, Role] = ("original", "target")
"""The two roles that every task has."""
OTHER: Role = "other"
"""The role that a task may have: an agent about as good as the original, but of a PPO run of its own."""


class Measured(BaseModel):
    """Mean undiscounted return with its 95% interval over episodes."""

    model_config = ConfigDict(extra="forbid")

    return_: FiniteFloat = Field(alias="return")
    low: FiniteFloat
    high: FiniteFloat
    episodes: int
    earlier: dict[int, FiniteFloat] = {}
    """Mean return of the same episodes up to earlier steps; older cards have none."""


class AgentRecord(BaseModel):
    """One agent: its place on the training run, and its return with sampled and with mode actions."""

    model_config = ConfigDict(extra="forbid")

    steps: int
    sampled: Measured
    mode: Measured


class OtherRecord(AgentRecord):
    """The third agent: a PPO run of its own, and how its tokens look to the original agent."""

    command: str
    """Trains this agent again."""
    rule: str
    """How it was chosen among the snapshots."""
    settings: dict[str, Any]
    """PPO settings of its run, the seed among them."""
    snapshots: dict[int, float]
    """Its run: environment steps -> return over the evaluation episodes (sampled actions)."""
    token_log_prob: FiniteFloat
    """Mean log-prob of its own tokens under the original agent, in nats."""
    date: str


class AgentsCard(BaseModel):
    """Where a task's agents come from and how good they are."""

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
    bin_width: float = Field(gt=0, le=1)
    """Width of a token in action units; 1 where actions are tokens themselves."""
    activation: str
    language: LanguageFacts | None = None
    """Of language models; None where the agents are Gaussian."""
    measurement_seed: int
    versions: dict[str, str]
    date: str
    original: AgentRecord
    target: AgentRecord
    token_log_probs: tuple[FiniteFloat, FiniteFloat] | None = None
    """Mean token log-prob, under the original agent, of its own actions and of the target's; older cards have none."""
    other: OtherRecord | None = None
    """The third agent; None where the task has none."""
    sha256: dict[Role, str] = {}
    """Of the agents' files; cards from before there were such hashes have none."""

    @property
    def roles(self) -> tuple[Role, ...]:
        """The roles that these agents have, in the order in which policies are stacked."""
        return ROLES if self.other is None else (*ROLES, OTHER)

    @field_validator("schema_version", mode="before")
    @classmethod
    def _known_version(cls, version: Any) -> Any:
        if version != SCHEMA_VERSION:
            raise ValueError(f"has schema version {shortened(str(version))}, this mpo reads {SCHEMA_VERSION}")
        return version

    @field_validator("activation")
    @classmethod
    def _known_activation(cls, name: str) -> str:
        if name not in ACTIVATIONS:
            raise unknown_name("activation", name, ACTIVATIONS)
        return name


def save_agent(path: Path, policy: AbstractPolicy) -> None:
    """Writes one policy: tensors only, since safetensors writes metadata in random order."""
    tensors = language_tensors(policy) if isinstance(policy, LanguagePolicy) else _gaussian_tensors(policy)
    # safetensors scrambles arrays that are not contiguous, without a word
    contiguous = {name: np.ascontiguousarray(np.asarray(leaf, np.float32)) for name, leaf in tensors.items()}
    write_whole(path, safetensors.numpy.save(contiguous))


def _gaussian_tensors(policy: AbstractPolicy) -> dict[str, AnyArray]:
    assert isinstance(policy, GaussianPolicy)
    tensors: dict[str, AnyArray] = {name: getattr(policy, name) for name in BUFFERS}
    for index, layer in enumerate(policy.layers):
        tensors |= dict(zip(_layer_names(index), (layer.kernel, layer.bias), strict=True))
    return tensors


def load_agent(path: Path, *, activation: str = "relu", bin_width: float = DEFAULT_BIN_WIDTH) -> GaussianPolicy:
    """Reads one Gaussian policy; what its tensors do not say (activation, bin width) is on the card.

    Raises:
        ValueError: the file is missing, damaged or not an agent's.
    """
    return _gaussian(path, _tensors(path, read_bytes(path, "agent")), activation, bin_width)


def _gaussian(path: Path, tensors: dict[str, np.ndarray], activation: str, bin_width: float) -> GaussianPolicy:
    layers = [_layer_names(index) for index in range(sum(name.endswith(".kernel") for name in tensors))]
    if not layers or set(tensors) != {*BUFFERS, *(name for pair in layers for name in pair)}:
        raise ValueError(f"{path} holds no agent: its tensors are {shortened(', '.join(sorted(tensors))) or 'none'}")
    _check_numbers(path, tensors)
    if not _shapes_agree(tensors, layers):
        raise ValueError(f"{path} holds no agent: the shapes of its tensors do not fit together")
    if not (tensors["observation_std"] > 0).all():
        raise ValueError(f"{path} holds a broken agent: some of its observations' deviations are not positive")
    arrays = {name: jnp.asarray(tensor) for name, tensor in tensors.items()}
    return GaussianPolicy(
        observation_mean=arrays["observation_mean"],
        observation_std=arrays["observation_std"],
        layers=tuple(Layer(arrays[kernel], arrays[bias]) for kernel, bias in layers),
        raw_scale=arrays["raw_scale"],
        activation=activation,
        bin_width=bin_width,
    )


def save_agents(folder: Path, card: AgentsCard, agents: tuple[AbstractPolicy, AbstractPolicy]) -> None:
    """Writes `original.safetensors`, `target.safetensors` and, last, `card.json` with their hashes."""
    for role, agent in zip(ROLES, agents, strict=True):
        save_agent(folder / f"{role}.safetensors", agent)
    _save_card(folder, card)


def save_other(folder: Path, card: AgentsCard, other: AbstractPolicy) -> None:
    """Adds `other.safetensors` to a folder of agents and then writes `card.json`, which has its record."""
    save_agent(folder / f"{OTHER}.safetensors", other)
    _save_card(folder, card)


def read_agents(folder: Path, card: AgentsCard) -> tuple[AbstractPolicy, ...]:
    """The original, the target and, if the card has one, the other agent in a folder.

    They are of one structure, so that they can be stacked.

    Raises:
        ValueError: they cannot be read or do not belong together.
    """
    agents = tuple(_load(folder, role, card) for role in card.roles)
    if any(jax.tree.map(jnp.shape, agent) != jax.tree.map(jnp.shape, agents[0]) for agent in agents):
        raise ValueError(f"the agents in {folder} have different networks")
    return agents


def read_agents_card(folder: Path, task: str) -> AgentsCard:
    """The card of a task's agents in a folder.

    Raises:
        ValueError: it cannot be read, or is of another task.
    """
    path = folder / CARD_FILE
    try:
        card = AgentsCard.model_validate_json(read_bytes(path, "agents' card"))
    except ValidationError as error:
        raise ValueError(f"{path} is not an agents' card: {first_fault(error)}") from None
    if card.task != task:
        raise ValueError(f"{path} is the card of task '{card.task}', not of '{task}'")
    return card


def _save_card(folder: Path, card: AgentsCard) -> None:
    hashes = {role: hashlib.sha256((folder / f"{role}.safetensors").read_bytes()).hexdigest() for role in card.roles}
    found = card.model_copy(update={"sha256": hashes}).model_dump(mode="json", by_alias=True)
    for name in ("other", "language"):
        if found[name] is None:
            del found[name]
    write_json(folder / CARD_FILE, found)


def _layer_names(index: int) -> tuple[str, str]:
    return f"layers.{index}.kernel", f"layers.{index}.bias"


def _load(folder: Path, role: Role, card: AgentsCard) -> AbstractPolicy:
    """One of the agents that a card is of."""
    path = folder / f"{role}.safetensors"
    content = read_bytes(path, "agent")
    if card.sha256.get(role) not in (None, hashlib.sha256(content).hexdigest()):
        raise ValueError(f"{path} does not match the hash in {CARD_FILE}, so it is damaged")
    tensors = _tensors(path, content)
    if card.language is not None:
        found = language_policy(path, tensors, card.language)
        _check_numbers(path, tensors)
        return found
    return _gaussian(path, tensors, card.activation, card.bin_width)


def _tensors(path: Path, content: bytes) -> dict[str, np.ndarray]:
    try:
        return safetensors.numpy.load(content)
    except Exception as error:  # of its own kind, or KeyError or TypeError where a type is foreign to numpy
        said = shortened(" ".join(str(error).split()))
        raise ValueError(f"{path} is not a safetensors file, or is damaged: {said}") from None


def _check_numbers(path: Path, tensors: dict[str, np.ndarray]) -> None:
    foreign = [str(tensor.dtype) for tensor in tensors.values() if tensor.dtype != np.float32]
    if foreign:
        raise ValueError(f"{path} holds no agent: its tensors are {foreign[0]}, not float32")
    if not all(np.isfinite(tensor).all() for tensor in tensors.values()):
        raise ValueError(f"{path} holds a broken agent: some of its numbers are not finite")


def _shapes_agree(tensors: dict[str, np.ndarray], layers: list[tuple[str, str]]) -> bool:
    kernels = [tensors[kernel].shape for kernel, _ in layers]
    sizes = [tensors["observation_mean"].shape, *(tensors[bias].shape for _, bias in layers)]
    if (
        any(len(size) != 1 for size in sizes)
        or tensors["observation_std"].shape != sizes[0]
        or tensors["raw_scale"].shape != sizes[-1]
    ):
        return False
    return all(kernel == before + after for kernel, before, after in zip(kernels, sizes[:-1], sizes[1:], strict=True))
