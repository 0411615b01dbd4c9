"""How the language models of a task are made; needs no JAX."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Lessons:
    """A writer of the grammar (see `grammar.Writer`) and how much a model learns from it."""

    moods: tuple[float, float, float]
    """Chance that an adjective or verb is good, bad or plain."""
    on_topic: float
    most_sentences: int = 6
    best_of: int = 1
    """Of so many reviews the one of highest reward is taught."""
    updates: int = 2000
    texts: int = 8192
    batch: int = 32
    learning_rate: float = 2e-3


@dataclasses.dataclass(frozen=True)
class LanguageRecipe:
    """A language task's models: original and other from fresh weights of their own, the target from the original."""

    original: Lessons
    target: Lessons
    other: Lessons
    width: int = 64
    layers: int = 2
    heads: int = 4
    feed_forward: int = 128
    seed: int = 0
