"""Keys: from one seed, in disjoint streams, none twice."""

import itertools

import jax
import numpy as np

from mpo_core.seeds import Purpose, Stream, stream_key


def places():
    """Where keys are taken: (stream, unit, purpose) in comparisons, (stream, generation, unit, purpose) in a search."""
    units, generations = range(4), range(1000, 1004)
    yield from itertools.product(Stream, units, Purpose)
    yield from itertools.product(Stream, generations, units, Purpose)


def bytes_of(key) -> bytes:
    return np.asarray(jax.random.key_data(key)).tobytes()


def test_no_key_comes_twice_nor_does_a_child_of_one():
    """`split(key)[i]` is `fold_in(key, i)` in JAX: a place that is split must not have other places below it."""
    seen = []
    for place in places():
        key = stream_key(3, *place)
        seen += [bytes_of(key), *map(bytes_of, jax.random.split(key, 3))]
    assert len(seen) == 4 * len(set(places()))
    assert len(set(seen)) == len(seen)


def test_streams_are_disjoint_and_named():
    assert len(set(map(int, Stream))) == len(Stream)
    assert {"SEARCH", "TUNING", "SELECTION", "REPORTING"} <= set(Stream.__members__)
    draws = [np.asarray(jax.random.normal(stream_key(0, stream, 0), (100,))) for stream in Stream]
    correlation = np.corrcoef(draws) - np.eye(len(draws))
    assert np.abs(correlation).max() < 0.4


def test_keys_repeat_with_the_seed_and_change_with_it():
    place = (Stream.REPORTING, 7, Purpose.LABELS)
    assert bytes_of(stream_key(1, *place)) == bytes_of(stream_key(1, *place))
    assert bytes_of(stream_key(1, *place)) != bytes_of(stream_key(2, *place))


def test_traced_levels_give_the_same_key():
    traced = jax.jit(lambda generation: stream_key(5, Stream.SEARCH, generation))(9)
    assert bytes_of(traced) == bytes_of(stream_key(5, Stream.SEARCH, 9))
