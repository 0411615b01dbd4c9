"""Kinds of search beside each other: folders of `mpo discover` with the same cell, search seeds and reporting units.

Run: python -m benchmarks.searches_beside [FOLDER ...]   (by default those of docs/results/seeds, the first of which the
others are compared with; writes results.md beside them)
"""

import sys
from pathlib import Path

import numpy as np

from adapters.storage.files import write_whole
from adapters.storage.sealed import read_model
from mpo_core.evaluation.statistics import crossed_bootstrap, mean_interval
from mpo_experiments.benchmark.cell import BenchmarkCell, Entry
from mpo_experiments.benchmark.summary import required_best
from mpo_experiments.benchmark.tables import interval_text
from mpo_experiments.benchmark.verdicts import Verdict
from mpo_experiments.discovery.report import share_text
from mpo_experiments.text_table import TextTable

ROOT = Path("docs/results/seeds")
FOLDERS = tuple(ROOT / name for name in ("snes", "random"))
KINDS = ("sampled", "mode")
CAPTION = (
    "One cell, the same reporting units for all. Mean of searches: 95 % t interval over searches. Minus the best tuned "
    "loss, and minus the first kind of search (searches of one seed paired): means with 95 % interval, searches and "
    "units resampled, p by bootstrap and not adjusted. Searches ahead: share with a mean above that of the best tuned "
    "loss, exact interval."
)


def beside_table(cells: dict[str, BenchmarkCell]) -> TextTable:
    """A line a folder and kind of actions."""
    first = next(iter(cells.values()))
    rows = [row for kind in KINDS for name, cell in cells.items() for row in [_row(name, cell, first, kind)]]
    columns = (
        "actions", "search", "each search", "mean of searches", "best tuned", "minus it", "searches ahead",
        "minus the first", "p",
    )  # fmt: skip
    return TextTable(f"{first.key}: searches", columns, tuple(rows), CAPTION)


def _row(name: str, cell: BenchmarkCell, first: BenchmarkCell, kind: str) -> tuple[str, ...]:
    found, best = _searches(cell), required_best(cell)
    scores, other = _scores(found, kind), np.array(getattr(best, kind), float)
    means, over_best = scores.mean(1), crossed_bootstrap(scores - other)
    told = ("-", "-")
    if cell is not first:
        over_first = crossed_bootstrap(scores - _scores(_searches(first)[: len(found)], kind))
        told = (interval_text(over_first.interval), Verdict(over_first.p_value, "").p_text)
    return (
        kind, name, " ".join(f"{mean:.2f}" for mean in means), interval_text(mean_interval(means)),
        f"{best.id} {other.mean():.2f}", interval_text(over_best.interval),
        share_text((means - other.mean()).tolist()), *told,
    )  # fmt: skip


def _searches(cell: BenchmarkCell) -> list[Entry]:
    """What the searches found, in the order of their seeds."""
    return [entry for entry in cell.objectives if entry.sha256 is not None]


def _scores(entries: list[Entry], kind: str) -> np.ndarray:
    return np.array([getattr(entry, kind) for entry in entries], float)


def read_cell(folder: Path) -> BenchmarkCell:
    """The one cell of a folder.

    Raises:
        ValueError: there is none, or several.
    """
    paths = [path for path in (folder / "cells").glob("*.json") if not path.name.endswith(".tuned.json")]
    if len(paths) != 1:
        raise ValueError(f"{folder}: has {len(paths)} cells; one is compared")
    return read_model(paths[0], "benchmark cell", BenchmarkCell, advice="run mpo discover again")


def write_beside(folders: tuple[Path, ...] = FOLDERS, out: Path | None = None) -> Path:
    """Writes the table of these folders beside the first of them.

    Raises:
        ValueError: they do not have the same cell and units.
    """
    cells = {folder.name: read_cell(folder) for folder in folders}
    if len({(cell.key, cell.units, cell.settings and cell.settings.seed) for cell in cells.values()}) > 1:
        raise ValueError("the folders are not of the same cell and reporting units")
    path = (out or folders[0].parent) / "results.md"
    write_whole(path, f"# Searches beside each other\n\n{beside_table(cells).markdown().strip()}\n".encode())
    return path


if __name__ == "__main__":
    sys.stdout.write(f"Written to {write_beside(tuple(map(Path, sys.argv[1:])) or FOLDERS)}\n")
