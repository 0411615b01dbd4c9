"""What a transfer experiment compares, and how large it is; needs no torch."""

import dataclasses
from collections.abc import Iterable
from typing import Any, Literal

import pydantic

from mpo_core.data.specification import DataSpec
from mpo_core.seeds import Stream
from mpo_experiments.objectives.named import NamedObjective, parse_objective
from mpo_experiments.settings.command import written_command

DEFAULT_OBJECTIVES = tuple(parse_objective(id) for id in ("sft", "dpo", "simpo", "orpo", "tempo"))
DEFAULT_DATA = ("mixed:0.75", "noisy:0.2", "base")
LEARNING_RATES = (1e-3, 3e-4, 3e-3)
"""Tried for every objective, its published settings with each of them first."""


@dataclasses.dataclass(frozen=True)
class TransferSizes:
    """Sizes of the language models, the data and the evaluation."""

    hidden: int = 64
    layers: int = 2
    texts: int = 3000
    """Reviews by the mediocre writer that the original model learns from; the target then learns from half as many."""
    steps: int = 500
    """Updates of the original model; the target has half as many more."""
    tries: int = 32
    """Of so many reviews for a prompt the best one is a text for the target."""
    rows: int = 128
    """Preference pairs of a unit."""
    minibatch: int = 16
    epochs: int = 12
    max_grad_norm: float = 1.3
    samples: int = 512
    """Reviews that a trained model is judged by."""
    constant_samples: int = 2048
    """Reviews that score 0 and score 1 are measured on."""


SIZES = {
    "quick": TransferSizes(),
    "smoke": TransferSizes(
        hidden=32,
        layers=1,
        texts=400,
        steps=160,
        tries=8,
        rows=8,
        minibatch=4,
        epochs=3,
        samples=32,
        constant_samples=128,
    ),
}


@dataclasses.dataclass(frozen=True)
class TransferSettings:
    """How objectives are compared, alike on every kind of data."""

    objectives: tuple[NamedObjective, ...] = DEFAULT_OBJECTIVES
    budget: int = 5
    """Candidates an objective: its published settings with each learning rate, then random settings."""
    tuning_units: int = 2
    units: int = 8
    """Reporting units."""
    preset: str = "quick"
    seed: int = 0

    @property
    def sizes(self) -> TransferSizes:
        """Sizes of the preset."""
        return SIZES[self.preset]

    def command(self, kinds: tuple[str, ...]) -> str:
        """What runs these kinds of data again."""
        return written_command("transfer", {"data": kinds} | vars(self))


def check_models(specs: Iterable[DataSpec]) -> None:
    """Refuses kinds of data that need a third model: an experiment has an original and a target.

    Raises:
        ValueError: one of them does.
    """
    for spec in specs:
        if "other" in spec.roles:
            raise ValueError(f"data '{spec}' need an `other` model, and language-model experiments have none")


@dataclasses.dataclass(frozen=True)
class Trial:
    """One model to be trained and judged."""

    data: str
    """In canonical form."""
    objective: NamedObjective
    learning_rate: float
    stream: Stream
    unit: int


class Outcome(pydantic.BaseModel):
    """What came of a trial, and everything that it was."""

    model_config = pydantic.ConfigDict(extra="forbid")

    schema_version: Literal[1] = 1
    data: str
    objective: str
    learning_rate: float
    stream: str
    unit: int
    sft_epochs: int
    sampled: pydantic.FiniteFloat
    """Normalised score of reviews drawn at temperature 1: original model 0, target model 1."""
    mode: pydantic.FiniteFloat
    """The same of the likeliest word each time, one review a prompt."""
    ended: pydantic.FiniteFloat
    """Share of the drawn reviews that the model itself brought to an end."""
    words: pydantic.FiniteFloat
    """Their mean length."""
    seconds: float
    versions: dict[str, str]


class WorldCard(pydantic.BaseModel):
    """The two models of an experiment: how they were made, and what they are worth."""

    model_config = pydantic.ConfigDict(extra="forbid")

    schema_version: Literal[1] = 1
    sizes: dict[str, Any]
    seed: int
    original: dict[str, pydantic.FiniteFloat]
    """Mean reward, `sampled` and `mode`; share of reviews `ended`; mean length in `words`."""
    target: dict[str, pydantic.FiniteFloat]
    weights: str
    """SHA-256 over the weights of both."""
    versions: dict[str, str]

    @pydantic.model_validator(mode="after")
    def _target_is_better(self) -> "WorldCard":
        if any(self.target[kind] <= self.original[kind] for kind in ("sampled", "mode")):
            raise ValueError("its target model earns no more than the original: no score can be normalised")
        return self

    def normalised(self, reward: float, kind: str) -> float:
        """A mean reward as a score: original 0, target 1."""
        return (reward - self.original[kind]) / (self.target[kind] - self.original[kind])
