"""Kinds of search beside each other, from cells whose numbers are known."""

import pytest
from benchmarks.searches_beside import above_table, beside_table, write_beside

from helpers.benchmark_cells import UNITS, make_cell
from mpo_experiments.benchmark.folder import BenchmarkFolder


def searched(*levels, seed=0, search_seeds=(0, 1, 2)):
    """A cell of what searches found, at these levels, beside losses; the search of seed 0 is a folder's first."""
    names = [f"run-static-s{one}" if one else "run-static" for one in search_seeds]
    cell = make_cell(levels={"sft": 0.2, "orpo": 0.6} | dict(zip(names, levels, strict=False)), seed=seed)
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


def test_searches_of_other_seeds_are_no_pairs():
    both = {"evolution": searched(0.9, 0.8, 0.7), "random": searched(0.5, 0.9, seed=1, search_seeds=(0, 2))}
    over_first = dict(zip([row[:2] for row in beside_table(both).rows], beside_table(both).rows, strict=True))
    assert over_first["sampled", "random"][-2].startswith("-0.10 [")  # of -0.4 and 0.2: with the third, not the second
    with pytest.raises(ValueError, match="run-static-s7: the first folder has no search of its seed"):
        beside_table(both | {"random": searched(0.5, 0.9, search_seeds=(0, 7))})


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
    with pytest.raises(ValueError, match="not of the same reporting units"):
        write_beside((tmp_path / "one", tmp_path / "two"))
    with pytest.raises(ValueError, match="has no cells"):
        write_beside((tmp_path / "one", tmp_path))


def test_searches_above_are_counted_over_cells():
    first = {"evolution": searched(0.9, 0.8), "random": searched(0.5, 0.9, seed=1)}
    table = above_table([first, {"evolution": searched(0.1, 0.7, 0.8)}])
    rows = {row[:2]: row[2:] for row in table.rows}
    assert rows["mode", "evolution"][0] == "2"
    assert rows["sampled", "evolution"][1].startswith("4 of 5 [")
    assert rows["sampled", "random"] == ("1", rows["mode", "random"][1])
    assert rows["sampled", "random"][1].startswith("1 of 2 [")


def test_every_cell_has_its_table(tmp_path):
    """A cell that another folder lacks stands alone."""
    for name, data in (("one", "base"), ("one", "noisy:0.2"), ("two", "noisy:0.2")):
        cell = searched(0.9)
        cell.data = data
        BenchmarkFolder(tmp_path / name).save(cell)
    text = write_beside((tmp_path / "one", tmp_path / "two")).read_text()
    assert text.count("searches") >= 2
    assert [line.count("| two") for line in text.split("## ")] == [0, 0, 2, 2]
