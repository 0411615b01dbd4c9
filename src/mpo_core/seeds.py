"""Every key of a run, from one seed: disjoint streams, no key used twice.

A key is `fold_in(key(seed), stream)` then one `fold_in` a level (generation, unit, purpose), so that checkpoints hold
no keys and a unit's randomness depends on its own numbers alone.
"""

import enum

import jax
from jaxtyping import PRNGKeyArray


class Stream(enum.IntEnum):
    """The four streams of the protocol (design section 2) and the ones behind agents, strategies and datasets."""

    SEARCH = 1
    TUNING = 2
    SELECTION = 3
    REPORTING = 4
    STRATEGY = 5
    AGENT_CARD = 6
    DATASET = 7


class Purpose(enum.IntEnum):
    """What a unit's key is for."""

    START_STATES = 1
    ACTIONS = 2
    LABELS = 3
    TRAINING = 4
    EVALUATION_START = 5
    EVALUATION_ACTIONS = 6


def stream_key(seed: int | jax.Array, stream: Stream, *levels: int | jax.Array) -> PRNGKeyArray:
    """The key of a stream, or of a place in it: `stream_key(seed, Stream.REPORTING, unit, Purpose.LABELS)`."""
    key = jax.random.fold_in(jax.random.key(seed), int(stream))
    for level in levels:
        key = jax.random.fold_in(key, level)
    return key
