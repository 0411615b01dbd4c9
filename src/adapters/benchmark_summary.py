"""What a benchmark says: inter-quartile means, probabilities of improvement over SFT, and the order of objectives."""

import dataclasses

import numpy as np

from adapters.benchmark_cell import Cell, CellKey, Entry
from mpo_core.statistics import Interval, improvement_interval, stratified_bootstrap

BASELINE = "sft"


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


def standings(cells: list[Cell]) -> list[Standing]:
    """All objectives of the cells, best first; those that see more than a learner may have come last."""
    found = [_standing(entry.id, cells) for entry in cells[0].objectives]
    return sorted(found, key=lambda one: (bool(one.sees), -one.sampled.estimate))


def _standing(id: str, cells: list[Cell]) -> Standing:
    entries = [entry_of(cell, id) for cell in cells]
    sampled, mode = (np.array([getattr(entry, kind) for entry in entries], float) for kind in ("sampled", "mode"))
    improvement = None
    if id != BASELINE and any(entry.id == BASELINE for entry in cells[0].objectives):
        baseline = np.array([entry_of(cell, BASELINE).sampled for cell in cells], float)
        improvement = improvement_interval(sampled, baseline)
    return Standing(
        id, tuple(entries[0].sees), stratified_bootstrap(sampled), stratified_bootstrap(mode), improvement,
        sum(entry.failed for entry in entries),
    )  # fmt: skip


def entry_of(cell: Cell, id: str) -> Entry:
    """An objective's entry in a cell."""
    return next(entry for entry in cell.objectives if entry.id == id)


def by_width(cells: list[Cell]) -> dict[float, list[Cell]]:
    """Cells grouped by token width, widths ascending, those cells alone that every width has."""
    widths = sorted({cell.bin_width for cell in cells})
    have = [{(cell.task, cell.data) for cell in cells if cell.bin_width == width} for width in widths]
    common = set.intersection(*have) if have else set()
    return {
        width: [cell for cell in cells if cell.bin_width == width and (cell.task, cell.data) in common]
        for width in widths
    }


def missing(keys: list[CellKey], cells: list[Cell]) -> list[CellKey]:
    """Cells that were asked for and are not there."""
    there = {cell.key for cell in cells}
    return [key for key in keys if key not in there]
