"""Ranking hand-written objectives on kinds of data: a cell is one task with one kind of data and one token width.

In a cell every objective gets the same random search on tuning units, and its best setting meets the others on
reporting units (docs/protocol.md).
"""

import time

from adapters.arena import Arena, race_settings
from adapters.benchmark_cell import (
    BenchmarkSettings,
    Cell,
    CellKey,
    Entry,
    cell_config,
)
from adapters.provenance import agents_hash, devices, versions
from adapters.tuned import TunedCell
from adapters.tuning import TuningSettings, tune
from adapters.watch import Watch
from mpo_core.catalogue import catalogue_entry, make_objective
from mpo_core.race import Entrant
from mpo_core.seeds import Stream


def tune_cell(arena: Arena, key: CellKey, settings: BenchmarkSettings, watch: Watch) -> TunedCell:
    """The random search of every objective on the tuning units."""
    race = race_settings(settings.config(key), Stream.TUNING, settings.tuning_units, mode_actions=False)
    return tune(arena, settings.objectives, TuningSettings(settings.budget, race), settings.command(key), watch)


def report_cell(arena: Arena, key: CellKey, settings: BenchmarkSettings, tuned: TunedCell, watch: Watch) -> Cell:
    """The tuned objectives on the reporting units."""
    began = time.monotonic()
    config = settings.config(key)
    found = [(id, tuned.objectives[id]) for id in settings.objectives]
    entrants = [Entrant(make_objective(id, **best.settings), best.sft_epochs) for id, best in found]
    scores = arena.race(entrants, race_settings(config, Stream.REPORTING, settings.units), watch)
    entries = [
        Entry(
            id=id, settings=best.settings, sft_epochs=best.sft_epochs, tried=best.tried, tuning_score=best.score,
            sees=sees(id), sampled=scores.sampled[place].tolist(), mode=scores.mode[place].tolist(),
            clamped=float(scores.clamped[place].mean()),
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
        original=low, target=high, ranges=tuned.ranges, objectives=entries,
    )  # fmt: skip


def sees(id: str) -> list[str]:
    """What an objective reads that a learner may not have."""
    entry = catalogue_entry(id)
    return [what for what in ("rewards", "groups") if getattr(entry, f"sees_{what}")]
