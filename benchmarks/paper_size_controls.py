"""Controls of the cells at the paper's size: runs those that are named, then writes a table of all.

    python -m benchmarks.paper_size_controls [--pairs DIR] [KIND:CELL ...]

A name is one as long:halfcheetah-mixed75; without any it writes the table alone.

`generous` tunes the learning rate, the split of epochs and the times of all losses beside their own settings. `long`
tunes the losses that led a cell with as many inner loops as a search trains. Both are judged on the units of the cell
itself, which must be there. It can be interrupted and goes on. A control takes one to two hours on two cores; `--pairs`
is as for the cells.
"""

import sys
from pathlib import Path

from benchmarks import paper_size
from benchmarks.paper_size import (
    HEADLINE,
    asked_for,
    benchmark_command,
    cells_there,
    gains_tables,
    name_of,
    write_tables,
)
from benchmarks.run_mpo import run_mpo
from mpo_experiments.benchmark.cell import DEFAULT_IDS, BenchmarkCell
from mpo_experiments.benchmark.summary import best_on_units, required_best
from mpo_experiments.text_table import TextTable

CONTROLS = {
    "generous": ("--tune", "learning-rate,schedule", "--budget", "24", "--tuning-units", "2"),
    "long": ("--budget", "256", "--tuning-units", "3"),
}
TITLES = {
    "generous": "learning rate, schedule and times tuned too, for all losses",
    "long": "the losses that led the cell, tuned with 768 inner loops each",
}


def folder_of(kind: str, root: Path) -> Path:
    """Where the cells of a control are, beside the cells themselves."""
    return root / "controls" / kind


def leaders(cell: BenchmarkCell) -> tuple[str, ...]:
    """The hand-written losses that a cell's claim is about: best by tuning, best on its units."""
    on_units = [best_on_units(cell, kind) for kind in paper_size.KINDS]
    return tuple(dict.fromkeys([required_best(cell).id, *(one.id for one in on_units if one is not None)]))


def command(kind: str, cell: BenchmarkCell) -> list[str]:
    """What runs a control of a cell, on the same units."""
    ids = DEFAULT_IDS if kind == "generous" else leaders(cell)
    return benchmark_command(cell.task, cell.data, ids, CONTROLS[kind], folder_of(kind, paper_size.ROOT))


def control_tables(kind: str, root: Path) -> tuple[TextTable, TextTable]:
    """What was found minus the best of a control, by tuning and on the units."""
    controls = cells_there(folder_of(kind, root), HEADLINE)
    keys = {one.key for one in controls}
    cells = [cell for cell in cells_there(root, HEADLINE) if cell.key in keys]
    return gains_tables(cells, controls, HEADLINE, f": {TITLES[kind]}")


def write_controls(root: Path = paper_size.ROOT, out: Path | None = None) -> Path:
    """Writes results.md beside the controls' folders."""
    tables = [table for kind in CONTROLS for table in control_tables(kind, root)]
    return write_tables((out or root / "controls") / "results.md", "Controls at the paper's size", tables)


def main(arguments: list[str]) -> None:
    """Runs controls, one after another."""
    names, options = asked_for(arguments, "KIND:CELL")
    there = {name_of(cell.task, cell.data): cell for cell in cells_there(paper_size.ROOT, HEADLINE)}
    headline, asked = [name_of(*cell) for cell in HEADLINE], []
    for name in names:
        kind, _, cell = name.partition(":")
        if kind not in CONTROLS or cell not in headline:
            allowed = f"{' and '.join(CONTROLS)}, each of {', '.join(headline)}"
            raise SystemExit(f"paper_size_controls: no control {name!r}; there are {allowed}")
        if cell not in there:
            raise SystemExit(f"paper_size_controls: {name!r} needs its cell: python -m benchmarks.paper_size {cell}")
        asked.append(command(kind, there[cell]))
    for one in asked:
        run_mpo([*one, *options])
    sys.stdout.write(f"Written to {write_controls()}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
