"""Running the cells of a benchmark one after another; finished ones are read."""

import dataclasses
import time
from pathlib import Path

from mpo_core.failures import WorkFailed
from mpo_experiments.benchmark.cell import BenchmarkCell, BenchmarkSettings, CellKey
from mpo_experiments.benchmark.folder import BenchmarkFolder, lacking, only_asked
from mpo_experiments.benchmark.measure import cell_choices, report_cell, tune_cell, tuned_choices
from mpo_experiments.progress import Reporter
from mpo_experiments.testbed import Testbed
from mpo_experiments.tuning.score_log import ScoreLog


def run_benchmark(
    keys: list[CellKey], settings: BenchmarkSettings, folder: BenchmarkFolder, reporter: Reporter,
    kept_pairs: Path | None = None,
) -> list[BenchmarkCell]:  # fmt: skip
    """All cells, in the order of `keys`; each is on disk as soon as it is finished.

    Args:
        kept_pairs: a folder where the pairs of units are kept, and taken from; None: they are rolled out.
    """
    cells: list[BenchmarkCell] = []
    testbeds: dict[tuple[str, float], Testbed] = {}
    took: list[float] = []
    begun = [folder.begun(key, settings) for key in keys]
    to_run = sum(before is None or bool(lacking(before, settings)) for before in begun)
    for place, (key, before) in enumerate(zip(keys, begun, strict=True)):
        if before is not None and not lacking(before, settings):
            found = only_asked(before, settings)
        else:
            began = time.monotonic()
            reporter.note(f"cell {place + 1} of {len(keys)}: {key}{_left(took, to_run - len(took))}")
            testbed = testbeds.setdefault((key.task, key.bin_width), cell_arena(key, settings, kept_pairs))
            found = _run_cell(testbed, key, settings, folder, reporter, before)
            took.append(time.monotonic() - began)
        cells.append(found)
    return cells


def cell_arena(key: CellKey, settings: BenchmarkSettings, kept_pairs: Path | None = None) -> Testbed:
    """Where the objectives of a cell are trained and judged."""
    length = settings.config(key).rows.length
    return Testbed(key.task, bin_width=key.bin_width, length=length, kept_pairs=kept_pairs)


def _run_cell(
    testbed: Testbed, key: CellKey, settings: BenchmarkSettings, folder: BenchmarkFolder, reporter: Reporter,
    before: BenchmarkCell | None,
) -> BenchmarkCell:  # fmt: skip
    """One cell, from where it was left.

    Args:
        before: the cell as it is, if it lacks objectives alone.
    """
    testbed.check_scores(settings.config(key).report.evaluation.horizon)
    log = folder.log(key, settings)
    if before is not None:
        cell = _with_added(testbed, before, settings, reporter, log)
        folder.save(cell)
        log.remove()
        return only_asked(cell, settings)
    choices, ranges, seconds, method = {}, {}, {"tuning": 0.0} if log.seconds_before else {}, settings.method
    if settings.tuned_from is not None:
        source = BenchmarkFolder(Path(settings.tuned_from)).borrowed(key, settings)
        choices, ranges, method = cell_choices(source), source.ranges, source.method
    ids = tuple(id for id in settings.objectives if id not in choices)
    if ids:
        tuned = folder.tuned(key, settings, ids)
        if tuned is None:
            began = time.monotonic()
            tuned = tune_cell(testbed, ids, key, settings, reporter, log)
            seconds = {"tuning": round(time.monotonic() - began, 1)}
            folder.save_tuned(key, settings, tuned)
        choices, ranges = choices | tuned_choices(tuned), ranges | tuned.ranges
    ranges = {id: ranges[id] for id in settings.objectives if id in ranges}
    cell = report_cell(testbed, key, settings, (choices, ranges), reporter, log)
    took = {part: round(more + log.seconds_before.get(part, 0.0), 1) for part, more in (seconds | cell.seconds).items()}
    cell = cell.model_copy(update={"seconds": took, "method": method})
    folder.save(cell)
    log.remove()
    return cell


def _with_added(
    testbed: Testbed, before: BenchmarkCell, settings: BenchmarkSettings, reporter: Reporter, log: ScoreLog
) -> BenchmarkCell:
    """A finished cell with the saved objectives that were added to what is asked for; they alone are run."""
    assert before.settings is not None  # else it is refused
    ids, began = lacking(before, settings), time.monotonic()
    reporter.note(f"added to what is there: {', '.join(ids)}")
    only = dataclasses.replace(settings, objectives=ids)
    tuned = tune_cell(testbed, ids, before.key, only, reporter, log)
    seconds = {"tuning": round(time.monotonic() - began, 1)}
    added = report_cell(testbed, before.key, only, (tuned_choices(tuned), tuned.ranges), reporter, log)
    seconds |= added.seconds
    if (added.original, added.target) != (before.original, before.target):
        raise WorkFailed(f"{before.key}: the agents' returns are others than in the cell: nothing was added to it")
    entries = {entry.id: entry for entry in (*before.objectives, *added.objectives)}
    order = tuple(dict.fromkeys((*settings.objectives, *entries)))
    whole, ranges = dataclasses.replace(before.settings, objectives=order), before.ranges | added.ranges
    took = {part: round(before.seconds.get(part, 0.0) + more, 1) for part, more in seconds.items()}
    return before.model_copy(
        update={
            "settings": whole, "command": whole.command(before.key), "seconds": before.seconds | took,
            "ranges": {id: ranges[id] for id in order if id in ranges},
            "objectives": [entries[id] for id in order],
        }
    )  # fmt: skip


def _left(took: list[float], cells: int) -> str:
    if not took:
        return ""
    return f" (about {cells * sum(took) / len(took) / 60:.0f} min to go at {sum(took) / len(took) / 60:.1f} min a cell)"
