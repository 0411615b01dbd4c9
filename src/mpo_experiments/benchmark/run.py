"""Running the cells of a benchmark one after another; finished ones are read."""

import time
from pathlib import Path

from mpo_experiments.benchmark.cell import BenchmarkCell, BenchmarkSettings, CellKey
from mpo_experiments.benchmark.folder import BenchmarkFolder
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


def _left(took: list[float], cells: int) -> str:
    if not took:
        return ""
    return f" (about {cells * sum(took) / len(took) / 60:.0f} min to go at {sum(took) / len(took) / 60:.1f} min a cell)"
