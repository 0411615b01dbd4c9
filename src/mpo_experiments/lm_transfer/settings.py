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
DEFAULT_DATA = ("mixed:0.75", "noisy:0.2")
SCHEMA = 2
"""Version of the files of models and trials: 1 were of a grammar."""
LEARNING_RATE = 2e-4
"""Where the search of every objective's learning rate starts."""


@dataclasses.dataclass(frozen=True)
class TransferSizes:
    """Sizes of the language models, the data and the evaluation."""

    hidden: int = 192
    layers: int = 4
    heads: int = 4
    vocabulary: int = 4096
    """Tokens, byte pairs of the corpus."""
    prompt_words: int = 4
    """First words of a text of the corpus, which a model goes on from."""
    longest: int = 32
    """Tokens of a text, after which it is cut off."""
    steps: int = 1200
    """Updates of the original and of the reader, from fresh weights."""
    target_steps: int = 200
    """Updates of the target, from the original."""
    tries: int = 12
    """Of so many texts of the original for a prompt, the best one is a lesson for the target."""
    lessons: int = 1024
    """Lessons of the target."""
    rows: int = 256
    """Preference pairs of a unit."""
    minibatch: int = 16
    epochs: int = 4
    max_grad_norm: float = 1.3
    samples: int = 384
    """Texts that a trained model is judged by, for prompts that no training saw."""
    constant_samples: int = 1536
    """Texts that score 0 and score 1 are measured on."""


SIZES = {
    "quick": TransferSizes(),
    "large": TransferSizes(hidden=768, layers=12, heads=12, vocabulary=8192, steps=6000, target_steps=600, rows=2048),
    "smoke": TransferSizes(
        hidden=32,
        layers=1,
        vocabulary=400,
        longest=12,
        steps=120,
        target_steps=60,
        tries=8,
        lessons=96,
        rows=8,
        minibatch=4,
        epochs=3,
        samples=32,
        constant_samples=128,
    ),
}
"""`quick`: 2.3 million weights; `large`: 77 million, for a GPU."""


@dataclasses.dataclass(frozen=True)
class TransferSettings:
    """How objectives are compared, alike on every kind of data."""

    corpus: str
    """File, folder or hub id of texts."""
    column: str = "text"
    """Where they stand in its rows."""
    objectives: tuple[NamedObjective, ...] = DEFAULT_OBJECTIVES
    budget: int = 4
    """Settings an objective, its published ones among them: what `mpo benchmark` calls so, learning rate included."""
    tuning_units: int = 1
    units: int = 3
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
    """With the settings that are tried."""
    sft_epochs: int
    learning_rate: float
    stream: Stream
    unit: int


class Texts(pydantic.BaseModel):
    """Means over the texts of a model that are drawn at temperature 1, and the reward of its likeliest ones."""

    model_config = pydantic.ConfigDict(extra="forbid")

    sampled: pydantic.FiniteFloat
    """Reward."""
    mode: pydantic.FiniteFloat
    """Reward of the likeliest token each time, one text a prompt."""
    sentiment: pydantic.FiniteFloat
    repetition: pydantic.FiniteFloat
    unlikely: pydantic.FiniteFloat
    """Nats a token by which the reader finds them less likely than texts of the corpus; 0 for those it does not."""
    ended: pydantic.FiniteFloat
    """Share that the model itself brought to an end."""
    tokens: pydantic.FiniteFloat
    """Length, the end counted."""


class Outcome(pydantic.BaseModel):
    """What came of a trial, and everything that it was."""

    model_config = pydantic.ConfigDict(extra="forbid")

    schema_version: Literal[2] = 2
    data: str
    objective: str
    learning_rate: float
    stream: str
    unit: int
    sft_epochs: int
    sampled: pydantic.FiniteFloat
    """Normalised score of texts drawn at temperature 1: original model 0, target model 1."""
    mode: pydantic.FiniteFloat
    """The same of the likeliest token each time."""
    texts: Texts | None
    """None of a model whose weights are no numbers."""
    seconds: float
    versions: dict[str, str]


class WorldCard(pydantic.BaseModel):
    """The models of an experiment: how they were made, and what their texts are worth."""

    model_config = pydantic.ConfigDict(extra="forbid")

    schema_version: Literal[2] = 2
    sizes: dict[str, Any]
    seed: int
    corpus: str
    """SHA-256 of its texts."""
    parts: dict[str, int]
    """How many texts of the corpus each part has."""
    parameters: int
    """Weights of the original."""
    human: float
    """Mean log-prob of a token of the corpus under the reader, in nats, on texts that it was not taught."""
    original: Texts
    target: Texts
    token_log_probs: tuple[pydantic.FiniteFloat, pydantic.FiniteFloat]
    """Means a token under the original, in nats: of its own texts, and of the target's."""
    weights: str
    """SHA-256 over the weights of all three."""
    versions: dict[str, str]

    @pydantic.model_validator(mode="after")
    def _target_is_better(self) -> "WorldCard":
        if self.target.sampled <= self.original.sampled or self.target.mode <= self.original.mode:
            raise ValueError("its target model earns no more than the original: no score can be normalised")
        return self

    def normalised(self, reward: float, kind: Literal["sampled", "mode"]) -> float:
        """A mean reward as a score: original 0, target 1."""
        low, high = getattr(self.original, kind), getattr(self.target, kind)
        return (reward - low) / (high - low)
