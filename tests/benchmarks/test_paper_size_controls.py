"""Controls at the paper's size, from cells whose numbers are known."""

import pytest
from benchmarks.paper_size import HEADLINE
from benchmarks.paper_size_controls import command, leaders, main, write_controls

from benchmarks import paper_size, paper_size_controls
from helpers.benchmark_cells import make_cell
from mpo_experiments.benchmark.folder import BenchmarkFolder


@pytest.fixture
def cell():
    made = make_cell("ant", "noisy:0.2", levels={"sft": 0.2, "orpo": 0.6, "dpo": 0.7, "discovered/one": 0.9})
    made.objectives[1].tuning_score = 10.0
    made.objectives[3].sha256 = "0" * 64
    return made


@pytest.fixture
def root(cell, tmp_path, monkeypatch):
    BenchmarkFolder(tmp_path / "ant-noisy20").save(cell)
    monkeypatch.setattr(paper_size, "ROOT", tmp_path)
    return tmp_path


def option(arguments, name):
    return arguments[arguments.index(name) + 1]


def test_long_tuning_is_for_the_losses_that_led(cell):
    assert leaders(cell) == ("orpo", "dpo")
    long, generous = command("long", cell), command("generous", cell)
    assert option(long, "--objectives") == "orpo,dpo"
    assert int(option(long, "--budget")) * int(option(long, "--tuning-units")) == 768
    assert len(option(generous, "--objectives").split(",")) == 11
    assert option(generous, "--tune") == "learning-rate,schedule"


def test_a_control_has_the_units_of_its_cell(cell):
    plain = paper_size.command("ant", "noisy:0.2")
    for kind in ("long", "generous"):
        for name in ("--task", "--data", "--preset", "--units", "--seed"):
            assert option(command(kind, cell), name) == option(plain, name)
        assert option(command(kind, cell), "--out") != option(plain, "--out")


def test_what_was_found_meets_the_best_of_the_control(root):
    control = make_cell("ant", "noisy:0.2", levels={"orpo": 0.75, "dpo": 0.8})
    control.objectives[0].tuning_score = 10.0
    BenchmarkFolder(root / "controls" / "long" / "ant-noisy20").save(control)
    tables = write_controls(root).read_text().split("\n### ")[1:]
    rows = [[line for line in table.splitlines() if line.startswith("| ")][2:] for table in tables]
    assert [len(lines) for lines in rows] == [len(HEADLINE)] * 4
    run = [[line.split(" | ") for line in lines if "not run" not in line] for lines in rows]
    assert [len(lines) for lines in run] == [0, 0, 1, 1]
    tuned, best = run[2][0], run[3][0]
    assert (tuned[3], tuned[4][:6]) == ("orpo", "0.15 [")
    assert (best[3], best[4][:6]) == ("dpo", "0.10 [")


def test_controls_that_are_none_are_refused(root, monkeypatch):
    monkeypatch.setattr(paper_size_controls, "run_mpo", lambda *_: pytest.fail("it was run"))
    with pytest.raises(SystemExit, match=r"no control 'lang:ant-noisy20'; there are generous and long, each of half"):
        main(["long:ant-noisy20", "lang:ant-noisy20"])
    with pytest.raises(SystemExit, match=r"'long:ant-mixed75' needs its cell: python -m benchmarks\.paper_size ant"):
        main(["long:ant-mixed75"])


def test_a_control_is_run_as_its_command_says(root, cell, monkeypatch):
    ran = []
    monkeypatch.setattr(paper_size_controls, "run_mpo", ran.append)
    main(["long:ant-noisy20"])
    main(["long:ant-noisy20", "--pairs", "kept"])
    assert ran == [command("long", cell), [*command("long", cell), "--pairs", "kept"]]
