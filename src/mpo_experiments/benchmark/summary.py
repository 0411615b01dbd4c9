"""What a benchmark says: inter-quartile means, probabilities of improvement over SFT, and the order of objectives."""

import dataclasses
import functools
from typing import Any

import numpy as np

from mpo_core.evaluation.statistics import Interval, improvement_interval, stratified_bootstrap
from mpo_experiments.agents.lookup import load_card
from mpo_experiments.benchmark.cell import BenchmarkCell, CellKey, Entry
from mpo_experiments.benchmark.verdicts import Gain, gain
from mpo_experiments.provenance import agents_hash

BASELINE = "sft"
MOST_AGAINST = 20
"""Hand-written objectives that a saved one is compared with in one table: each comparison costs the others power."""


@dataclasses.dataclass(frozen=True)
class Standing:
    """One objective over the cells given: inter-quartile mean of all units, each cell a stratum of the bootstrap."""

    id: str
    sees: tuple[str, ...]
    sampled: Interval
    mode: Interval
    improvement: Interval | None
    """Probability that a random unit of it scores above a random unit of SFT; None for SFT, and without it."""
    failed: int

    def as_json(self) -> dict[str, Any]:
        """As in `summary.json`."""
        return {"objective" if name == "id" else name: value for name, value in dataclasses.asdict(self).items()}


def standings(cells: list[BenchmarkCell]) -> list[Standing]:
    """All objectives of the cells, best first; those that see more than a learner may have come last."""
    found = [_standing(entry.id, cells) for entry in cells[0].objectives]
    return sorted(found, key=lambda one: (bool(one.sees), -one.sampled.estimate))


def _standing(id: str, cells: list[BenchmarkCell]) -> Standing:
    entries = [entry_of(cell, id) for cell in cells]
    sampled, mode = (tuple(tuple(getattr(entry, kind)) for entry in entries) for kind in ("sampled", "mode"))
    improvement = None
    if id != BASELINE and any(entry.id == BASELINE for entry in cells[0].objectives):
        improvement = _improvement(sampled, tuple(tuple(entry_of(cell, BASELINE).sampled) for cell in cells))
    return Standing(
        id, tuple(entries[0].sees), _bootstrapped(sampled), _bootstrapped(mode), improvement,
        sum(entry.failed for entry in entries),
    )  # fmt: skip


Scores = tuple[tuple[float, ...], ...]
"""A stratum after the other, a score a unit; the tables of one benchmark ask for the same ones several times."""


@functools.lru_cache(maxsize=4096)
def _bootstrapped(scores: Scores) -> Interval:
    return stratified_bootstrap(np.array(scores, float))


@functools.lru_cache(maxsize=4096)
def _improvement(ours: Scores, theirs: Scores) -> Interval:
    return improvement_interval(np.array(ours, float), np.array(theirs, float))


@dataclasses.dataclass(frozen=True)
class Difference:
    """A saved objective minus a hand-written one, paired by unit."""

    id: str
    against: str
    sampled: Gain
    mode: Gain


def no_noise_score(cell: BenchmarkCell) -> float | None:
    """What the original agent scores without action noise, on the scale of sampled actions.

    So much of a score is had without learning anything but to act less at random. None where the cell does not say
    it and its agents are not those that are there.
    """
    mode = cell.original_mode
    agents = cell.provenance.get("agents")
    if mode is None and agents is not None and agents == _agents_there(cell.task, cell.data):
        measured = load_card(cell.task).original.mode
        horizon = cell.config["evaluation"]["horizon"]
        mode = measured.return_ if horizon == load_card(cell.task).horizon else measured.earlier.get(horizon)
    return None if mode is None else (mode - cell.original) / (cell.target - cell.original)


def _agents_there(task: str, data: str) -> str | None:
    """The hash of the agents that a task's data are made with; None where there is no such task or no agents."""
    try:
        return agents_hash(task, data)
    except ValueError:
        return None


def best_on_units(cell: BenchmarkCell, kind: str) -> Entry | None:
    """The hand-written objective with the highest mean on the *reporting* units, of those that see no more than others.

    Chosen on the very units that it is compared on, in its favour: nothing can be ahead of the zoo that is not ahead of
    it.

    Args:
        kind: of actions, "sampled" or "mode".
    """
    known = [entry for entry in cell.objectives if entry.sha256 is None and not entry.sees]
    return max(known, key=lambda entry: float(np.mean(getattr(entry, kind))), default=None)


def best_tuned(cell: BenchmarkCell) -> Entry | None:
    """The hand-written objective with the highest score on the *tuning* units, of those that see no more than others.

    Chosen before the reporting units are looked at, so that a difference to it is a fair one.
    """
    known = [entry for entry in cell.objectives if entry.sha256 is None and not entry.sees]
    return max(known, key=lambda entry: entry.tuning_score, default=None)


def required_best(cell: BenchmarkCell) -> Entry:
    """`best_tuned` of a cell that must have one.

    Raises:
        ValueError: it holds no hand-written objective.
    """
    best = best_tuned(cell)
    if best is None:
        raise ValueError(f"benchmark cell {cell.key}: holds no hand-written objective")
    return best


def differences(cell: BenchmarkCell, of: str | None = None) -> list[Difference]:
    """Every saved objective minus every hand-written one, that which tuning found best the first.

    Args:
        of: a hand-written objective, to have that one alone minus all others of its kind.

    Of more than `MOST_AGAINST` hand-written ones it is compared with two alone: the best when tuned, and the best on
    these units.
    """
    best = best_tuned(cell)
    others = sorted((one for one in cell.objectives if one.sha256 is None), key=lambda one: one is not best)
    if of is not None:
        return [difference(entry_of(cell, of), other) for other in others if other.id != of]
    if len(others) > MOST_AGAINST:
        others = [one for one in others if one in (best, best_on_units(cell, "sampled"))]
    return [difference(saved, other) for saved in cell.objectives if saved.sha256 is not None for other in others]


def difference(one: Entry, other: Entry) -> Difference:
    """One entry of a cell minus another."""
    return Difference(one.id, other.id, gain([one], other, "sampled"), gain([one], other, "mode"))


def entry_of(cell: BenchmarkCell, id: str) -> Entry:
    """An objective's entry in a cell."""
    return next(entry for entry in cell.objectives if entry.id == id)


def missing(keys: list[CellKey], cells: list[BenchmarkCell]) -> list[CellKey]:
    """Cells that were asked for and are not there."""
    there = {cell.key for cell in cells}
    return [key for key in keys if key not in there]
