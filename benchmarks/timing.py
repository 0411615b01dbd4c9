"""Alternatives timed in turn: what disturbs the machine disturbs all of them alike."""

import time
from collections.abc import Callable, Mapping
from typing import Any

import equinox as eqx
import jax
import numpy as np

ROUNDS = 5


def finished(call: Callable[[], Any]) -> Any:
    """What a call returns, once its arrays are there."""
    found = call()
    jax.block_until_ready(eqx.filter(found, eqx.is_array))
    return found


def seconds_of(call: Callable[[], Any]) -> float:
    """One call, until its arrays are there."""
    began = time.perf_counter()
    finished(call)
    return time.perf_counter() - began


def alternating(calls: Mapping[str, Callable[[], Any]], rounds: int = ROUNDS) -> dict[str, float]:
    """Median seconds of every call: all are warmed up, then each is timed once a round."""
    for call in calls.values():
        finished(call)
    times = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            times[name].append(seconds_of(call))
    return {name: float(np.median(found)) for name, found in times.items()}


def compare(
    benchmark: Any, ours: Callable[[], Any], others: Mapping[str, Callable[[], Any]], rounds: int = ROUNDS
) -> Any:
    """Benchmarks `ours` with the others timed before each of its rounds; ratios (theirs / ours) go to `extra_info`.

    Returns:
        What `ours` returned.
    """
    for call in (ours, *others.values()):
        finished(call)
    times = {name: [] for name in others}

    def others_in_turn() -> None:
        for name, call in others.items():
            times[name].append(seconds_of(call))

    found = benchmark.pedantic(lambda: finished(ours), setup=others_in_turn, rounds=rounds)
    own = benchmark.stats.stats.median
    benchmark.extra_info |= {f"{name} / ours": round(float(np.median(found)) / own, 3) for name, found in times.items()}
    return found
