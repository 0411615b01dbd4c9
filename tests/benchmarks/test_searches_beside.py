"""Kinds of search beside each other, from cells whose numbers are known."""

import pytest
from benchmarks.searches_beside import beside_table, write_beside

from helpers.benchmark_cells import UNITS, make_cell
from mpo_experiments.benchmark.folder import BenchmarkFolder


def searched(*levels, seed=0):
    """A cell of what searches found, at these levels, beside losses."""
    cell = make_cell(
        levels={"sft": 0.2, "orpo": 0.6} | {f"run-{at}": level for at, level in enumerate(levels)}, seed=seed
    )
    for entry in cell.objectives[2:]:
        entry.sha256 = "0" * 64
    cell.objectives[1].tuning_score = 10.0
    return cell


def test_searches_of_one_seed_are_paired():
    table = beside_table({"evolution": searched(0.9, 0.8, 0.7), "random": searched(0.5, 0.9, seed=1)})
    rows = {row[:2]: row[2:] for row in table.rows}
    assert set(rows) == {(kind, name) for kind in ("sampled", "mode") for name in ("evolution", "random")}
    each, _, best, over_best, share, *_ = rows["sampled", "evolution"]
    assert (each, best) == ("0.90 0.80 0.70", "orpo 0.60")
    assert over_best.startswith("0.20 [")
    assert share.startswith("3 of 3 [")
    *_, share, over_first, p = rows["sampled", "random"]
    assert share.startswith("1 of 2 [")
    assert over_first.startswith("-0.15 [")  # of -0.4 and 0.1: the third search has no partner
    assert 0 < float(p) <= 1


def test_folders_of_other_units_are_refused(tmp_path):
    for name, cell in (("one", searched(0.9)), ("two", searched(0.8))):
        BenchmarkFolder(tmp_path / name).save(cell)
    path = write_beside((tmp_path / "one", tmp_path / "two"))
    assert path == tmp_path / "results.md"
    assert "two" in path.read_text()
    fewer = searched(0.8)
    for entry in fewer.objectives:
        entry.sampled, entry.mode = entry.sampled[: UNITS - 1], entry.mode[: UNITS - 1]
    BenchmarkFolder(tmp_path / "two").save(fewer)
    with pytest.raises(ValueError, match="not of the same cell and reporting units"):
        write_beside((tmp_path / "one", tmp_path / "two"))
    with pytest.raises(ValueError, match="has 0 cells"):
        write_beside((tmp_path / "one", tmp_path))
