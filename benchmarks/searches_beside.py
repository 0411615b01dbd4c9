"""Kinds of search beside each other: folders of `mpo discover` with the same cells, search seeds and reporting units.

Run: python -m benchmarks.searches_beside [FOLDER ...]   (by default those of docs/results/seeds; writes results.md
beside them, with the others compared with the first)
"""

import re
import sys
from pathlib import Path

import numpy as np

from adapters.storage.files import write_whole
from adapters.storage.sealed import read_model
from mpo_core.evaluation.statistics import crossed_test, mean_interval
from mpo_experiments.benchmark.cell import BenchmarkCell, CellKey, Entry
from mpo_experiments.benchmark.summary import required_best
from mpo_experiments.benchmark.tables import interval_text
from mpo_experiments.benchmark.verdicts import Verdict
from mpo_experiments.discovery.report import share_text
from mpo_experiments.text_table import TextTable

ROOT = Path("docs/results/seeds")
GROUPS = (
    tuple(ROOT / name for name in ("snes", "random", "frame")),
    tuple(ROOT / "more" / name for name in ("snes", "random")),
)
"""Folders that are compared with each other."""
KINDS = ("sampled", "mode")
CAPTION = (
    "The same reporting units for all. Mean of searches: 95 % t interval over searches. Minus the best tuned "
    "loss, and minus the first kind of search (searches of one seed paired): means with 95 % t interval, searches and "
    "units as crossed random effects, p not adjusted. Searches above: share with a mean above that of the best tuned "
    "loss, exact interval (searches of a cell share its units, so it is too narrow over several cells)."
)


def beside_table(cells: dict[str, BenchmarkCell]) -> TextTable:
    """A line a folder and kind of actions."""
    first = next(iter(cells.values()))
    rows = [row for kind in KINDS for name, cell in cells.items() for row in [_row(name, cell, first, kind)]]
    columns = (
        "actions", "search", "each search", "mean of searches", "best tuned", "minus it", "searches above",
        "minus the first", "p",
    )  # fmt: skip
    return TextTable(f"{first.key}: searches", columns, tuple(rows), CAPTION)


def _row(name: str, cell: BenchmarkCell, first: BenchmarkCell, kind: str) -> tuple[str, ...]:
    found, best = _searches(cell), required_best(cell)
    scores, other = _scores(found, kind), np.array(getattr(best, kind), float)
    means, over_best = scores.mean(1), crossed_test(scores - other)
    told = ("-", "-")
    if cell is not first:
        over_first = crossed_test(scores - _scores(_of_the_same_seeds(found, first), kind))
        told = (interval_text(over_first.interval), Verdict(over_first.p_value, "").p_text)
    return (
        kind, name, " ".join(f"{mean:.2f}" for mean in means), interval_text(mean_interval(means)),
        f"{best.id} {other.mean():.2f}", interval_text(over_best.interval),
        share_text((means - other.mean()).tolist()), *told,
    )  # fmt: skip


def _searches(cell: BenchmarkCell) -> list[Entry]:
    """What the searches found, in the order of their seeds."""
    return [entry for entry in cell.objectives if entry.sha256 is not None]


def _of_the_same_seeds(found: list[Entry], first: BenchmarkCell) -> list[Entry]:
    """The searches of a cell that have the seeds of others; both cells' first ones have the same, without a number.

    Raises:
        ValueError: it lacks one.
    """
    by_seed = {_seed(entry): entry for entry in _searches(first)}
    lacking = [entry.id for entry in found if _seed(entry) not in by_seed]
    if lacking:
        raise ValueError(f"{lacking[0]}: the first folder has no search of its seed")
    return [by_seed[_seed(entry)] for entry in found]


def _seed(entry: Entry) -> str:
    return re.search(r"(-s\d+)?$", entry.id)[0]  # pyright: ignore[reportOptionalSubscript]


def _scores(entries: list[Entry], kind: str) -> np.ndarray:
    return np.array([getattr(entry, kind) for entry in entries], float)


def above_table(tables: list[dict[str, BenchmarkCell]]) -> TextTable:
    """How many searches are above the best tuned loss of their cell, over all cells."""
    names = list(dict.fromkeys(name for cells in tables for name in cells))
    rows = [
        (kind, name, *_above([cells[name] for cells in tables if name in cells], kind))
        for kind in KINDS
        for name in names
    ]
    return TextTable("All cells", ("actions", "search", "cells", "searches above"), tuple(rows))


def _above(cells: list[BenchmarkCell], kind: str) -> tuple[str, str]:
    over_best = [
        float(mean)
        for cell in cells
        for mean in _scores(_searches(cell), kind).mean(1) - np.mean(getattr(required_best(cell), kind))
    ]
    return str(len(cells)), share_text(over_best)


def read_cells(folder: Path) -> dict[CellKey, BenchmarkCell]:
    """The cells of a folder by their names.

    Raises:
        ValueError: there is none.
    """
    paths = sorted(path for path in (folder / "cells").glob("*.json") if not path.name.endswith(".tuned.json"))
    if not paths:
        raise ValueError(f"{folder}: has no cells")
    read = [read_model(path, "benchmark cell", BenchmarkCell, advice="run mpo discover again") for path in paths]
    return {cell.key: cell for cell in read}


def write_beside(folders: tuple[Path, ...], out: Path | None = None) -> Path:
    """Writes a table for every cell of the first of these folders, with the others beside it where they have the cell.

    Raises:
        ValueError: a cell has other units in another folder.
    """
    read = {folder.name: read_cells(folder) for folder in folders}
    cells = [{name: others[key] for name, others in read.items() if key in others} for key in next(iter(read.values()))]
    for beside in cells:
        if len({(cell.units, cell.settings and cell.settings.seed) for cell in beside.values()}) > 1:
            raise ValueError("the folders are not of the same reporting units")
    tables = [beside_table(beside) for beside in cells] + [above_table(cells)] * (len(cells) > 1)
    path = (out or folders[0].parent) / "results.md"
    text = "\n\n".join(table.markdown().strip() for table in tables)
    write_whole(path, f"# Searches beside each other\n\n{text}\n".encode())
    return path


def main(folders: tuple[Path, ...]) -> None:
    """Of these folders, or of all that are committed."""
    for group in [folders] if folders else GROUPS:
        sys.stdout.write(f"Written to {write_beside(group)}\n")


if __name__ == "__main__":
    main(tuple(map(Path, sys.argv[1:])))
