"""What a hand-written loss gains over all others of a benchmark's cells, each comparison counted.

Run: python -m benchmarks.closed_form [FOLDER LOSS]   (by default docs/results/reviews/closed-form floor_po; writes
LOSS.md there)
"""

import sys
from pathlib import Path

from adapters.storage.files import write_whole
from mpo_experiments.benchmark.again import keys_of
from mpo_experiments.benchmark.difference_tables import differences_table
from mpo_experiments.benchmark.folder import BenchmarkFolder

FOLDER, LOSS = Path("docs/results/reviews/closed-form"), "floor_po"


def write_gains(folder: Path = FOLDER, loss: str = LOSS, out: Path | None = None) -> Path:
    """Writes the tables of a folder's cells, in its summary's order."""
    cells = [cell for key in keys_of(folder) if (cell := BenchmarkFolder(folder).any_cell(key)) is not None]
    tables = [table for cell in cells if (table := differences_table(cell, loss)) is not None]
    path = (out or folder) / f"{loss}.md"
    text = "\n\n".join([f"# {loss}: what it gains", *(table.markdown().strip() for table in tables)]) + "\n"
    write_whole(path, text.encode())
    return path


if __name__ == "__main__":
    given = sys.argv[1:]
    sys.stdout.write(f"Written to {write_gains(Path(given[0]), given[1]) if given else write_gains()}\n")
