"""Running the cells of a benchmark one after another; finished ones are read."""

import dataclasses
import time
from pathlib import Path

from mpo_experiments.benchmark.cell import BenchmarkCell, BenchmarkSettings, CellKey
from mpo_experiments.benchmark.folder import BenchmarkFolder, lacking
from mpo_experiments.benchmark.measure import cell_choices, report_cell, tune_cell, tuned_choices
from mpo_experiments.progress import Reporter
from mpo_experiments.testbed import Testbed


def run_benchmark(
    keys: list[CellKey], settings: BenchmarkSettings, folder: BenchmarkFolder, reporter: Reporter
) -> list[BenchmarkCell]:
    """All cells, in the order of `keys`; each is on disk as soon as it is finished."""
    cells: list[BenchmarkCell] = []
    testbeds: dict[tuple[str, float], Testbed] = {}
    took: list[float] = []
    for place, key in enumerate(keys):
        found = folder.cell(key, settings)
        if found is None:
            began = time.monotonic()
            reporter.note(f"cell {place + 1} of {len(keys)}: {key}{_left(took, len(keys) - place)}")
            testbed = testbeds.setdefault((key.task, key.bin_width), cell_arena(key, settings))
            found = _run_cell(testbed, key, settings, folder, reporter)
            took.append(time.monotonic() - began)
        cells.append(found)
    return cells


def cell_arena(key: CellKey, settings: BenchmarkSettings) -> Testbed:
    """Where the objectives of a cell are trained and judged."""
    return Testbed(key.task, bin_width=key.bin_width, length=settings.config(key).rows.length)


def _run_cell(
    testbed: Testbed, key: CellKey, settings: BenchmarkSettings, folder: BenchmarkFolder, reporter: Reporter
) -> BenchmarkCell:
    before = folder.begun(key, settings)
    if before is not None:
        cell = _with_added(testbed, before, settings, reporter)
        folder.save(cell)
        return cell
    choices, ranges, seconds = {}, {}, {}
    if settings.tuned_from is not None:
        before = BenchmarkFolder(Path(settings.tuned_from)).borrowed(key, settings)
        choices, ranges = cell_choices(before), before.ranges
    ids = tuple(id for id in settings.objectives if id not in choices)
    if ids:
        tuned = folder.tuned(key, settings, ids)
        if tuned is None:
            began = time.monotonic()
            tuned = tune_cell(testbed, ids, key, settings, reporter)
            seconds = {"tuning": round(time.monotonic() - began, 1)}
            folder.save_tuned(key, tuned)
        choices, ranges = choices | tuned_choices(tuned), ranges | tuned.ranges
    ranges = {id: ranges[id] for id in settings.objectives if id in ranges}
    cell = report_cell(testbed, key, settings, (choices, ranges), reporter)
    cell = cell.model_copy(update={"seconds": seconds | cell.seconds})
    folder.save(cell)
    return cell


def _with_added(
    testbed: Testbed, before: BenchmarkCell, settings: BenchmarkSettings, reporter: Reporter
) -> BenchmarkCell:
    """A finished cell with the saved objectives that were added to what is asked for; they alone are run."""
    ids = lacking(before, settings)
    reporter.note(f"added to what is there: {', '.join(ids)}")
    only = dataclasses.replace(settings, objectives=ids)
    tuned = tune_cell(testbed, ids, before.key, only, reporter)
    added = report_cell(testbed, before.key, only, (tuned_choices(tuned), tuned.ranges), reporter)
    assert before.settings is not None  # else it is refused
    all_of_them = dataclasses.replace(before.settings, objectives=settings.objectives)
    entries = {entry.id: entry for entry in (*before.objectives, *added.objectives)}
    ranges, seconds = before.ranges | added.ranges, dict(before.seconds)
    seconds["reporting"] = round(seconds.get("reporting", 0.0) + added.seconds["reporting"], 1)
    return before.model_copy(
        update={
            "settings": all_of_them, "command": all_of_them.command(before.key), "seconds": seconds,
            "ranges": {id: ranges[id] for id in settings.objectives if id in ranges},
            "objectives": [entries[id] for id in settings.objectives],
        }
    )  # fmt: skip


def _left(took: list[float], cells: int) -> str:
    if not took:
        return ""
    return f" (about {cells * sum(took) / len(took) / 60:.0f} min to go at {sum(took) / len(took) / 60:.1f} min a cell)"
