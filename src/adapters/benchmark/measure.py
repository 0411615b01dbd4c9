"""Ranking objectives on kinds of data: a cell is one task with one kind of data and one token width.

In a cell every objective gets the same random search on tuning units, and its best setting meets the others on
reporting units (docs/protocol.md). A saved objective has no settings to search.
"""

import time

from adapters.arena import Arena, race_settings
from adapters.benchmark.cell import (
    BenchmarkSettings,
    Cell,
    CellKey,
    Choice,
    Entry,
    cell_config,
)
from adapters.discovery.saved import objective_hash
from adapters.provenance import agents_hash, devices, versions
from adapters.tuned import TunedCell
from adapters.tuning import TuningSettings, tune
from adapters.watch import Watch
from mpo_core.catalogue import catalogue_entry, make_objective
from mpo_core.race import Entrant
from mpo_core.seeds import Stream

Ranges = dict[str, dict[str, list[float]]]


def tune_cell(arena: Arena, ids: tuple[str, ...], key: CellKey, settings: BenchmarkSettings, watch: Watch) -> TunedCell:
    """The random search of objectives on the tuning units."""
    race = race_settings(settings.config(key), Stream.TUNING, settings.tuning_units, mode_actions=False)
    return tune(arena, ids, TuningSettings(settings.budget, race), settings.command(key), watch)


def tuned_choices(tuned: TunedCell) -> dict[str, Choice]:
    """What a random search chose."""
    return {
        id: Choice(found.settings, found.sft_epochs, found.tried, found.score) for id, found in tuned.objectives.items()
    }


def cell_choices(cell: Cell) -> dict[str, Choice]:
    """What had been chosen for the hand-written objectives of a finished cell."""
    return {
        entry.id: Choice(entry.settings, entry.sft_epochs, entry.tried, entry.tuning_score)
        for entry in cell.objectives
        if entry.sha256 is None
    }


def report_cell(
    arena: Arena,
    key: CellKey,
    settings: BenchmarkSettings,
    chosen: tuple[dict[str, Choice], Ranges],
    watch: Watch,
) -> Cell:
    """The objectives on the reporting units.

    Args:
        chosen: settings of every objective, and the ranges they were searched in.
    """
    began = time.monotonic()
    config = settings.config(key)
    found = [(id, chosen[0][id]) for id in settings.objectives]
    entrants = [Entrant(make_objective(id, **best.settings), best.sft_epochs) for id, best in found]
    scores = arena.race(entrants, race_settings(config, Stream.REPORTING, settings.units), watch)
    entries = [
        Entry(
            id=id, settings=best.settings, sft_epochs=best.sft_epochs, tried=best.tried, tuning_score=best.score,
            sees=sees(id), sampled=scores.sampled[place].tolist(), mode=scores.mode[place].tolist(),
            clamped=float(scores.clamped[place].mean()), sha256=objective_hash(id),
        )
        for place, (id, best) in enumerate(found)
    ]  # fmt: skip
    low, high = arena.constants(config.report.evaluation.horizon)
    return Cell(
        task=key.task, data=key.data, bin_width=key.bin_width, command=settings.command(key),
        config=cell_config(config), seconds={"reporting": round(time.monotonic() - began, 1)},
        provenance={
            "agents": agents_hash(key.task), "backend": arena.task.backend, "versions": versions(),
            "devices": devices(),
        },
        original=low, target=high, ranges=chosen[1], objectives=entries,
    )  # fmt: skip


def sees(id: str) -> list[str]:
    """What an objective reads that a learner may not have."""
    entry = catalogue_entry(id)
    return [what for what in ("rewards", "groups") if getattr(entry, f"sees_{what}")]
