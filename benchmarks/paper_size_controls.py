"""Controls of the cells at the paper's size: runs those that are named, then writes a table of all.

    python -m benchmarks.paper_size_controls [KIND:CELL ...]   (as long:halfcheetah-mixed75; none: the table alone)

`generous` tunes the learning rate, the split of epochs and the times of all losses beside their own settings. `long`
tunes the losses that led a cell with as many inner loops as a search trains. Both are judged on the units of the cell
itself, which must be there. It can be interrupted and goes on. A control takes one to two hours on two cores.
"""

import subprocess
import sys
from pathlib import Path

from adapters.storage.files import write_whole
from benchmarks import paper_size
from benchmarks.paper_size import HEADLINE, gains_table, key_of, name_of
from mpo_experiments.benchmark.cell import DEFAULT_IDS, BenchmarkCell, CellKey, Entry
from mpo_experiments.benchmark.folder import BenchmarkFolder
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
    return [
        "benchmark", "--task", cell.task, "--data", cell.data, "--preset", "paper", "--objectives", ",".join(ids),
        *CONTROLS[kind], "--units", str(paper_size.UNITS), "--seed", str(paper_size.SEED),
        "--out", str(folder_of(kind, paper_size.ROOT) / name_of(cell.task, cell.data)),
    ]  # fmt: skip


def headline_cells(folder: Path) -> dict[CellKey, BenchmarkCell]:
    """Those that are in a folder."""
    found = [BenchmarkFolder(folder / name_of(*cell)).any_cell(key_of(*cell)) for cell in HEADLINE]
    return {cell.key: cell for cell in found if cell is not None}


def control_tables(kind: str, root: Path) -> tuple[TextTable, TextTable]:
    """What was found minus the best of a control, by tuning and on the units."""
    controls = headline_cells(folder_of(kind, root))
    cells = [cell for key, cell in headline_cells(root).items() if key in controls]

    def on_units(cell: BenchmarkCell, actions: str) -> Entry:
        return best_on_units(controls[cell.key], actions) or required_best(controls[cell.key])

    def by_tuning(cell: BenchmarkCell, actions: str) -> Entry:
        return required_best(controls[cell.key])

    return (
        gains_table(f"Found minus the best tuned loss: {TITLES[kind]}", cells, by_tuning, HEADLINE),
        gains_table(f"Found minus the loss that is best on these units: {TITLES[kind]}", cells, on_units, HEADLINE),
    )


def write_controls(root: Path = paper_size.ROOT, out: Path | None = None) -> Path:
    """Writes results.md beside the controls' folders."""
    tables = [table for kind in CONTROLS for table in control_tables(kind, root)]
    path = (out or root / "controls") / "results.md"
    parts = ["# Controls at the paper's size", *(table.markdown().strip() for table in tables)]
    write_whole(path, ("\n\n".join(parts) + "\n").encode())
    return path


def main(names: list[str]) -> None:
    """Runs controls, one after another."""
    there = {name_of(cell.task, cell.data): cell for cell in headline_cells(paper_size.ROOT).values()}
    headline, asked = [name_of(*cell) for cell in HEADLINE], []
    for name in names:
        kind, _, cell = name.partition(":")
        if kind not in CONTROLS or cell not in headline:
            allowed = f"{' and '.join(CONTROLS)}, each of {', '.join(headline)}"
            raise SystemExit(f"paper_size_controls: no control {name!r}; there are {allowed}")
        if cell not in there:
            raise SystemExit(f"paper_size_controls: {name!r} needs its cell: python -m benchmarks.paper_size {cell}")
        asked.append(command(kind, there[cell]))
    for arguments in asked:
        subprocess.run([sys.executable, "-c", "import cli; cli.main()", *arguments], check=True)
    sys.stdout.write(f"Written to {write_controls()}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
