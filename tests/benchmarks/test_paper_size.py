"""The table of cells at the paper's size, from a cell whose numbers are known."""

import pytest
from benchmarks.paper_size import CELLS, FOLDERS, HEADLINE, command, main, name_of, write_table

from benchmarks import paper_size
from helpers.benchmark_cells import make_cell
from mpo_core.losses.catalogue import saved_ids
from mpo_experiments.benchmark.folder import BenchmarkFolder
from mpo_experiments.objectives.named import parse_objectives

BUNDLED = saved_ids()


def test_a_folder_is_called_after_its_cell():
    assert name_of("three_legged_ant", "mixed:0.75") == "three_legged_ant-mixed75"
    assert name_of("ant", "noisy:0.2") == "ant-noisy20"
    assert name_of("ant", "base") == "ant-base"
    assert len(FOLDERS) == len(CELLS) == 12
    assert tuple(FOLDERS.values())[:4] == HEADLINE


@pytest.mark.parametrize("cell", CELLS)
def test_a_cell_has_eleven_losses_and_what_was_found(cell):
    given = command(*cell)
    ids = given[given.index("--objectives") + 1].split(",")
    found = [id for id in ids if "/" in id]
    assert len(ids) == 11 + len(found)
    assert found
    assert all(id in BUNDLED or id.startswith("docs/results/") for id in found)
    assert len(parse_objectives(",".join(ids))) == len(ids)


def test_the_table_says_what_was_run_and_what_was_not(tmp_path):
    levels = {"sft": 0.2, "orpo": 0.6, "discovered/one": 0.9}
    cell = make_cell("ant", "noisy:0.2", levels=levels)
    cell.objectives[1].tuning_score = 10.0
    cell.objectives[2].sha256 = "0" * 64
    BenchmarkFolder(tmp_path / "ant-noisy20").save(cell)
    tuned, best = write_table(tmp_path).read_text().split("\n### ")[1:]
    for table, title in ((tuned, "best tuned loss"), (best, "best on these units")):
        rows = [line.split(" | ") for line in table.splitlines() if line.startswith("| ")][1:]
        assert title in table.splitlines()[0]
        (run,) = [row for row in rows if row[1] != "not run" and "---" not in row[0]]
        assert run[0] == "| ant, noisy:0.2"
        assert run[2].startswith("0.9")
        assert run[3] == "orpo"
        assert run[4].startswith("0.30 [")
        assert run[6] == run[9] == "ahead"
        assert sum(row[1] == "not run" for row in rows) == 11


def test_a_cell_that_is_none_is_refused(monkeypatch):
    monkeypatch.setattr(paper_size, "run_mpo", lambda *_: pytest.fail("it was run"))
    with pytest.raises(SystemExit, match="no cell 'ant-nosy20'; there are halfcheetah-mixed75, ant-mixed75"):
        main(["halfcheetah-mixed75", "ant-nosy20"])
