"""The tables of a benchmark's folder from the cells that are in it, whatever command made it."""

import dataclasses
from pathlib import Path
from typing import Any

from adapters.storage.files import read_json
from mpo_experiments.benchmark.cell import BenchmarkCell, BenchmarkSettings, CellKey
from mpo_experiments.benchmark.folder import BenchmarkFolder, lacking, only_asked
from mpo_experiments.benchmark.leaderboard_page import PAGE
from mpo_experiments.benchmark.report import write_benchmark

KEY = tuple(field.name for field in dataclasses.fields(CellKey))


def write_again(folder: Path, out: Path | None = None) -> list[Path]:
    """Writes a benchmark's tables and figures anew, from summary.json (its settings and cells) and the cells; its page
    where there is one.

    Args:
        out: where to; the same folder unless given.

    Raises:
        ValueError: it holds no summary of a benchmark, or a cell is damaged, not there or lacks an objective.
    """
    settings, keys, absent = _plan(folder)
    there = {key: BenchmarkFolder(folder).any_cell(key) for key in keys}
    lost = [key for key, cell in there.items() if cell is None]
    if lost:
        raise ValueError(f"benchmark {folder}: its cell of {lost[0]} is not there")
    cells = [_shown(cell, settings, folder) for cell in there.values() if cell is not None]
    page = (folder / PAGE).is_file()
    return write_benchmark(out or folder, [*keys, *absent], cells, settings, page=page)


def _shown(cell: BenchmarkCell, settings: BenchmarkSettings, folder: Path) -> BenchmarkCell:
    """A cell with the objectives of the tables alone: it may hold saved ones that they do not have."""
    absent = lacking(cell, settings)
    if absent:
        raise ValueError(f"benchmark {folder}: its cell of {cell.key} lacks {absent[0]}, which its tables have")
    return only_asked(cell, settings)


def keys_of(folder: Path) -> list[CellKey]:
    """The cells that a benchmark's folder has tables of.

    Raises:
        ValueError: it holds no summary of a benchmark.
    """
    return _plan(folder)[1]


def _plan(folder: Path) -> tuple[BenchmarkSettings, list[CellKey], list[CellKey]]:
    """Settings, cells that are there and cells that were not run."""
    summary = read_json(folder / "summary.json", "benchmark summary")
    try:
        told: dict[str, Any] = {"method": "fixed", "tune": ()} | summary["settings"]
        told |= {name: tuple(told[name]) for name in ("objectives", "tune")}
        settings = BenchmarkSettings(**told)
        keys = [CellKey(**{name: cell.get(name) for name in KEY}) for cell in summary["cells"]]
        return settings, keys, [CellKey(**key) for key in summary["not_run"]]
    except (KeyError, TypeError) as error:
        raise ValueError(f"benchmark summary {folder / 'summary.json'}: is not that of mpo benchmark") from error
