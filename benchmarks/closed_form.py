"""What a hand-written loss gains over all others of a benchmark's cells, each comparison counted.

Run: python -m benchmarks.closed_form [FOLDER LOSS]   (writes LOSS.md there; by default for `floor_po` in both folders
of docs/results/reviews that have it)
"""

import sys
from pathlib import Path

from adapters.storage.files import write_whole
from mpo_experiments.benchmark.again import keys_of
from mpo_experiments.benchmark.difference_tables import differences_table
from mpo_experiments.benchmark.folder import BenchmarkFolder

FOLDERS = tuple(Path("docs/results/reviews", name) for name in ("closed-form", "control"))
LOSS = "floor_po"


def write_gains(folder: Path, loss: str = LOSS, out: Path | None = None) -> Path:
    """Writes the tables of a folder's cells, in its summary's order."""
    cells = [cell for key in keys_of(folder) if (cell := BenchmarkFolder(folder).any_cell(key)) is not None]
    tables = [table for cell in cells if (table := differences_table(cell, loss)) is not None]
    path = (out or folder) / f"{loss}.md"
    text = "\n\n".join([f"# {loss}: what it gains", *(table.markdown().strip() for table in tables)]) + "\n"
    write_whole(path, text.encode())
    return path


if __name__ == "__main__":
    for folder, loss in [(Path(sys.argv[1]), sys.argv[2])] if sys.argv[1:] else [(one, LOSS) for one in FOLDERS]:
        sys.stdout.write(f"Written to {write_gains(folder, loss)}\n")
