"""How a budget of inner loops is spent: rounds of successive halving, the same for every objective.

A round draws settings and scores them on one tuning unit; the better half goes on to the next, then to twice as many
units, until what is left has been on all of them (Jamieson and Talwalkar 2016, arXiv 1502.07943). So a budget buys more
settings than one that runs each on every unit, and a setting that fails costs one inner loop.
"""

import dataclasses
import itertools
from typing import Literal

Method = Literal["halving", "fixed"]
METHODS: tuple[Method, ...] = ("halving", "fixed")
"""`fixed`: every setting on every unit, ranges as published: how results were made before there was another."""
TUNABLE = ("learning-rate", "schedule")
"""What may be tuned beside the objectives' own settings, for all of them alike."""
LATER_ROUNDS = 4
FIRST_SHARE = 0.5
"""Of the budget that the published default leaves, for the first round; the later ones have the rest in equal parts."""


@dataclasses.dataclass(frozen=True)
class Plan:
    """The rounds of every objective."""

    rungs: tuple[range, ...]
    """Tuning units that are added on each rung of a round."""
    rounds: tuple[int, ...]
    """Settings drawn in each round."""
    later: int
    """Settings drawn in any further round, where a range was just extended; 0: ranges are not extended."""


def plan_of(method: Method, budget: int, units: int) -> Plan:
    """The plan of a budget of `budget` settings on `units` tuning units each, the published default among them."""
    if method == "fixed":
        return Plan((range(units),), (budget - 1,), later=0)
    rungs = halving_rungs(units)
    left = (budget - 1) * units
    later = largest_bracket(int(left * (1 - FIRST_SHARE)) // LATER_ROUNDS, rungs)
    first = largest_bracket(left - LATER_ROUNDS * bracket_loops(later, rungs), rungs)
    rounds = (first,) + (later,) * (LATER_ROUNDS if later else 0)
    return Plan(rungs, rounds, later=max(later, 1) if budget > 1 else 0)


def halving_rungs(units: int) -> tuple[range, ...]:
    """One unit, then as many again as there were, until there are `units`."""
    ends = [0]
    while ends[-1] < units:
        ends.append(min(max(1, 2 * ends[-1]), units))
    return tuple(range(low, high) for low, high in itertools.pairwise(ends))


def survivors(settings: int) -> int:
    """How many of so many settings go on to the next rung."""
    return -(-settings // 2)


def bracket_loops(settings: int, rungs: tuple[range, ...]) -> int:
    """Inner loops of a round that draws so many settings."""
    loops = 0
    for rung in rungs:
        loops += settings * len(rung)
        settings = survivors(settings)
    return loops


def largest_bracket(loops: int, rungs: tuple[range, ...]) -> int:
    """The most settings that a round of at most so many inner loops can draw."""
    settings = 0
    while bracket_loops(settings + 1, rungs) <= loops:
        settings += 1
    return settings
