"""Ranking objectives on kinds of data: a cell is one task with one kind of data and one token width.

In a cell every objective gets the same search of settings on tuning units, and its best setting meets the others on
reporting units (docs/protocol.md). A saved objective has no settings to search.
"""

import dataclasses
import time

from mpo_core.losses.catalogue import catalogue_entry
from mpo_core.seeds import Stream
from mpo_experiments.benchmark.cell import (
    BenchmarkCell,
    BenchmarkSettings,
    CellKey,
    Choice,
    Entry,
)
from mpo_experiments.benchmark.reporting import report_scores
from mpo_experiments.objectives.saved import objective_hash
from mpo_experiments.progress import Reporter
from mpo_experiments.provenance import made_here
from mpo_experiments.testbed import Testbed, comparison_settings
from mpo_experiments.tuning.score_log import LoggedScores, ScoreLog
from mpo_experiments.tuning.tune import TuningSettings, tune
from mpo_experiments.tuning.tuned import TunedCell

Ranges = dict[str, dict[str, list[float]]]


def tune_cell(
    testbed: Testbed, ids: tuple[str, ...], key: CellKey, settings: BenchmarkSettings, reporter: Reporter,
    log: ScoreLog | None = None,
) -> TunedCell:  # fmt: skip
    """The random search of objectives on the tuning units.

    Args:
        log: has the scores of an earlier try, and is given those of this one.
    """
    comparison = comparison_settings(settings.config(key), Stream.TUNING, settings.tuning_units, mode_actions=False)
    how = TuningSettings(settings.budget, comparison, settings.method, settings.tune)
    own = log or ScoreLog(None, "")
    tuned = tune(testbed, ids, how, settings.command(key), reporter, lambda score: LoggedScores(score, own))
    return tuned.model_copy(update={"settings": dataclasses.asdict(settings)})


def tuned_choices(tuned: TunedCell) -> dict[str, Choice]:
    """What a random search chose."""
    return {
        id: Choice(
            found.settings,
            found.sft_epochs,
            found.tried,
            found.score,
            found.learning_rate,
            found.loops,
            found.searched,
        )
        for id, found in tuned.objectives.items()
    }


def cell_choices(cell: BenchmarkCell) -> dict[str, Choice]:
    """What had been chosen for the hand-written objectives of a finished cell."""
    return {
        entry.id: Choice(
            entry.settings,
            entry.sft_epochs,
            entry.tried,
            entry.tuning_score,
            entry.learning_rate,
            entry.loops,
            entry.searched,
        )
        for entry in cell.objectives
        if entry.sha256 is None
    }


def report_cell(
    testbed: Testbed,
    key: CellKey,
    settings: BenchmarkSettings,
    chosen: tuple[dict[str, Choice], Ranges],
    reporter: Reporter,
    log: ScoreLog | None = None,
) -> BenchmarkCell:
    """The objectives on the reporting units.

    Args:
        chosen: settings of every objective, and the ranges they were searched in.
        log: has the scores of an earlier try, and is given those of this one.
    """
    began = time.monotonic()
    config = settings.config(key)
    found = [(id, chosen[0][id]) for id in settings.objectives]
    comparison = comparison_settings(config, Stream.REPORTING, settings.units)
    scores = report_scores(testbed, dict(found), comparison, reporter, log or ScoreLog(None, ""))
    entries = [
        Entry(
            id=id, settings=best.settings, sft_epochs=best.sft_epochs, tried=best.tried, tuning_score=best.score,
            learning_rate=best.learning_rate, loops=best.loops, searched=best.searched,
            sees=sees(id), **scores[place], sha256=objective_hash(id),
        )
        for place, (id, best) in enumerate(found)
    ]  # fmt: skip
    low, high = testbed.constants(config.report.evaluation.horizon)
    return BenchmarkCell(
        task=key.task, data=key.data, bin_width=key.bin_width, rows=key.rows,
        command=settings.command(key), settings=settings,
        config=config.recorded(), seconds={"reporting": round(time.monotonic() - began, 1)},
        provenance=made_here(key.task, key.data, config.inner),
        original=low, target=high, method=settings.method,
        original_mode=testbed.constants(config.report.evaluation.horizon, mode=True)[0],
        ranges=chosen[1], objectives=entries,
    )  # fmt: skip


def sees(id: str) -> list[str]:
    """What an objective reads that a learner may not have."""
    entry = catalogue_entry(id)
    return [what for what in ("rewards", "groups") if getattr(entry, f"sees_{what}")]
