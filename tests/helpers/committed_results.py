"""Numbers of docs/results, as the documentation has them."""

from pathlib import Path

from adapters.storage.objective_paths import PREFIX
from mpo_experiments.benchmark.again import keys_of
from mpo_experiments.benchmark.cell import BenchmarkCell, Entry
from mpo_experiments.benchmark.difference_tables import differences_summary
from mpo_experiments.benchmark.folder import BenchmarkFolder
from mpo_experiments.benchmark.summary import entry_of, no_noise_score, required_best

RESULTS = Path(__file__).parents[2] / "docs" / "results"
CONFIRMED = {
    "confirmed": "discovered/halfcheetah-mixed75-temporal",
    "confirmed-hopper": "discovered/hopper-noisy20-static",
    "confirmed-ant": "discovered/ant-mixed75-static",
    "confirmed-ant-noisy": "discovered/ant-noisy20-temporal",
    "confirmed-three-legged-ant": "discovered/three_legged_ant-mixed75-static",
}
"""Folders of objectives on 100 further units, and their bundled names."""


def cells_of(name: str) -> list[BenchmarkCell]:
    """The cells of a folder."""
    found = [BenchmarkFolder(RESULTS / name).any_cell(key) for key in keys_of(RESULTS / name)]
    cells = [cell for cell in found if cell is not None]
    assert len(cells) == len(found)
    return cells


def confirmed_row(name: str) -> str:
    """The line of a confirmed objective in the table of docs/findings.md."""
    (cell,) = cells_of(name)
    saved = next(entry for entry in cell.objectives if entry.sha256 is not None)
    return _lead_row(cell, saved, CONFIRMED[name])


def lead_rows(name: str) -> list[str]:
    """The lines of the bundled objectives of a folder's cells in such a table."""
    return [
        _lead_row(cell, entry, entry.id)
        for cell in cells_of(name)
        for entry in cell.objectives
        if entry.id.startswith(PREFIX)
    ]


def _lead_row(cell: BenchmarkCell, saved: Entry, called: str) -> str:
    best = required_best(cell)
    (gain,) = (one for one in differences_summary(cell) if (one["id"], one["against"]) == (saved.id, best.id))
    differences = [_gain_text(gain[kind]) for kind in ("sampled", "mode")]
    cells = (
        str(cell.key), f"`{called}`", _means(saved), f"{best.id} {_means(best)}", *differences,
        f"{no_noise_score(cell):.2f}",
    )  # fmt: skip
    assert entry_of(cell, best.id) is best
    return f"| {' | '.join(cells)} |"


def _means(entry) -> str:
    sampled, mode = (sum(scores) / len(scores) for scores in (entry.sampled, entry.mode))
    return f"{sampled:.2f} / {mode:.2f}"


def _gain_text(gain: dict) -> str:
    return f"{gain['estimate']:.2f} [{gain['low']:.2f}, {gain['high']:.2f}] {gain['so_it_is']}"
