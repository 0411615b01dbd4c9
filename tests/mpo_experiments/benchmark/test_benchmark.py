"""`mpo benchmark`, small: it resumes cell by cell and repeats itself exactly, on real physics too."""

import json
import shutil

import pytest
from typer.testing import CliRunner

from adapters.storage.sealed import write_sealed
from cli.app import app
from mpo_experiments.benchmark import reporting, run as benchmark_run
from mpo_experiments.benchmark.again import write_again
from mpo_experiments.benchmark.cell import DEFAULT_IDS, BenchmarkSettings, CellKey
from mpo_experiments.benchmark.folder import BenchmarkFolder
from mpo_experiments.testbed import Testbed

ARGUMENTS = (
    "benchmark", "--task", "reach", "--objectives", "sft,dpo,orpo", "--budget", "2", "--tuning-units", "2",
    "--units", "2", "--preset", "smoke", "--seed", "3",
)  # fmt: skip
DATA = ("--data", "base,noisy:0.5")
ADDED = "discovered/hopper-noisy20-static"

pytestmark = pytest.mark.usefixtures("reach")


def invoke(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def scores(folder, name):
    cell = json.loads((folder / "cells" / f"{name}.json").read_text())
    return {entry["id"]: (entry["settings"], entry["sampled"], entry["mode"]) for entry in cell["objectives"]}


def log_under_way(folder, name):
    (log,) = (folder / "cells").glob(f"{name}.scores-*.jsonl")
    return log


def assert_repeats(out, name, elsewhere):
    command = json.loads((out / "cells" / f"{name}.json").read_text())["command"]
    found = invoke(*command.split()[1:], "--out", elsewhere)
    assert found.exit_code == 0, found.output
    assert scores(elsewhere, name) == scores(out, name)


@pytest.fixture(scope="module")
def whole(reach, tmp_path_factory):
    """Both cells in one go."""
    out = tmp_path_factory.mktemp("benchmark")
    found = invoke(*ARGUMENTS, *DATA, "--out", out)
    assert found.exit_code == 0, found.output
    return found, out


def test_every_objective_was_tuned_alike_and_has_a_score_on_every_unit(whole):
    found, out = whole
    cell = json.loads((out / "cells" / "reach-noisy0.5-w0.1.json").read_text())
    sft, dpo, orpo = cell["objectives"]
    assert (sft["tried"], sft["loops"]) == (1, 2)  # nothing to search
    assert dpo["tried"] == orpo["tried"] >= 2
    assert dpo["loops"] == orpo["loops"] >= 2 * 2
    assert all(
        not range_["at_edge"] or range_["extended"] == 4 for one in (dpo, orpo) for range_ in one["searched"].values()
    )
    assert cell["method"] == "halving"
    assert {entry["id"]: entry["sft_epochs"] for entry in cell["objectives"]} == {"sft": 0, "dpo": 1, "orpo": 0}
    assert all(len(entry["sampled"]) == len(entry["mode"]) == 2 for entry in cell["objectives"])
    assert "reach, noisy:0.5: 2 units" in found.stdout
    assert max(map(len, found.stdout.split("One cell again")[0].splitlines())) <= 80


def test_a_cell_of_several_repeats_exactly_alone_by_its_printed_command(whole, tmp_path):
    _, out = whole
    assert_repeats(out, "reach-noisy0.5-w0.1", tmp_path)


@pytest.mark.usefixtures("optimised")
def test_real_physics_repeats_exactly_by_the_printed_command(tmp_path):
    found = invoke(*ARGUMENTS, "--task", "hopper", "--data", "noisy:0.5", "--out", tmp_path / "first")
    assert found.exit_code == 0, found.output
    assert_repeats(tmp_path / "first", "hopper-noisy0.5-w0.1", tmp_path / "again")


def test_an_interrupted_benchmark_goes_on_where_it_was(whole, tmp_path, monkeypatch):
    _, out = whole
    report_cell, calls = benchmark_run.report_cell, []

    def interrupted(testbed, key, *rest):
        calls.append(key.data)
        if key.data != "base":
            raise KeyboardInterrupt
        return report_cell(testbed, key, *rest)

    monkeypatch.setattr(benchmark_run, "report_cell", interrupted)
    found = invoke(*ARGUMENTS, *DATA, "--out", tmp_path)
    assert found.exit_code == 130
    assert "Run the same command again" in found.output
    assert calls == ["base", "noisy:0.5"]
    log_under_way(tmp_path, "reach-noisy0.5-w0.1").unlink()  # the tuned settings are left
    assert "reach, noisy:0.5: 6 policies" in invoke(*ARGUMENTS, *DATA, "--out", tmp_path, "--dry-run").stdout

    tuned = []
    monkeypatch.setattr(
        benchmark_run,
        "report_cell",
        lambda testbed, key, *rest: calls.append(key.data) or report_cell(testbed, key, *rest),
    )
    monkeypatch.setattr(benchmark_run, "tune_cell", lambda *given: tuned.append(given))
    assert invoke(*ARGUMENTS, *DATA, "--out", tmp_path).exit_code == 0
    assert calls == ["base", "noisy:0.5", "noisy:0.5"]  # the finished cell is not run again
    assert not tuned  # nor is what was tuned
    for name in ("reach-base-w0.1", "reach-noisy0.5-w0.1"):
        assert scores(tmp_path, name) == scores(out, name)


def test_what_was_judged_before_an_interruption_is_not_run_again_and_units_in_turn_score_as_together(
    whole, tmp_path, monkeypatch
):
    _, out = whole
    compare, calls, stop = Testbed.compare, [], [2, 4]

    def watched(self, candidates, settings, *rest, **more):
        calls.append((settings.stream.name.lower(), settings.first_unit, len(candidates)))
        if len(calls) in stop:
            raise KeyboardInterrupt
        return compare(self, candidates, settings, *rest, **more)

    monkeypatch.setattr(Testbed, "compare", watched)
    monkeypatch.setattr(reporting, "unit_parts", lambda units, held, filling: [range(1), range(1, 2)])
    asked = (*ARGUMENTS, "--data", "base", "--out", tmp_path / "parts")
    assert [invoke(*asked).exit_code for _ in range(2)] == [130, 130]
    log = log_under_way(tmp_path / "parts", "reach-base-w0.1")
    kept = log.read_bytes()
    stop.append(len(calls) + 2)
    assert invoke(*asked, "--seed", "77").exit_code == 130  # what is run with another seed
    assert len(list(log.parent.glob("*.scores-*.jsonl"))) == 2
    assert log.read_bytes() == kept  # loses nothing of it
    del calls[-2:], stop[-1]
    judged = len(log.read_text().splitlines()) - 1
    assert judged > 0
    assert f"reach, base: {16 - judged} policies" in invoke(*asked, "--dry-run").stdout
    others = invoke(*asked, "--objectives", "cpo,kto,ipo", "--dry-run").stdout
    assert "reach, base: 18 policies" in others  # nothing was kept of these
    assert invoke(*asked).exit_code == 0
    assert not log.exists()
    done = [call for at, call in enumerate(calls, 1) if at not in stop]
    assert len(done) == len(set(done))  # nothing twice
    assert [call for call in done if call[0] == "reporting"] == [("reporting", 0, 3), ("reporting", 1, 3)]
    assert scores(tmp_path / "parts", "reach-base-w0.1") == scores(out, "reach-base-w0.1")


def test_tables_of_the_cells_there_are(whole):
    _, out = whole
    found = invoke(*ARGUMENTS, "--data", "base,judge:5", "--out", out, "--only-tables", "--page")
    assert found.exit_code == 0, found.output
    assert "Not run: reach, judge:5." in (out / "results.md").read_text()
    assert "leaderboard.html" in found.output
    written = (out / "leaderboard.html").read_text()
    (out / "leaderboard.html").write_text("an earlier one")
    write_again(out)
    assert (out / "leaderboard.html").read_text() == written


def test_tables_are_written_again_without_what_was_added_to_a_cell_alone(whole, tmp_path):
    shutil.copytree(whole[1], tmp_path / "out")
    folder, key = BenchmarkFolder(tmp_path / "out"), CellKey("reach", "base")
    cell = folder.any_cell(key)
    more = cell.objectives[-1].model_copy(update={"id": "runs/one", "sha256": "0" * 64})
    folder.save(cell.model_copy(update={"objectives": [*cell.objectives, more]}))
    before = (tmp_path / "out" / "results.md").read_text()
    write_again(tmp_path / "out")
    assert (tmp_path / "out" / "results.md").read_text() == before
    folder.save(cell.model_copy(update={"objectives": cell.objectives[:-1]}))
    with pytest.raises(ValueError, match="its cell of reach, base lacks orpo, which its tables have"):
        write_again(tmp_path / "out")


def test_tables_hold_the_cells_of_a_folder_that_were_run_alike_and_say_which_were_not(whole, tmp_path):
    _, out = whole
    shutil.copytree(out, tmp_path / "out")
    asked = (*ARGUMENTS, "--data", "base", "--only-tables", "--out", tmp_path / "out", "--objectives")
    found = invoke(*asked, "sft,dpo,orpo")
    assert found.exit_code == 0, found.output
    keys = {(cell["task"], cell["data"]) for cell in json.loads((out / "summary.json").read_text())["cells"]}
    written = json.loads((tmp_path / "out" / "summary.json").read_text())["cells"]
    assert {(cell["task"], cell["data"]) for cell in written} == keys
    assert "leave out" not in found.stdout
    other = tmp_path / "out" / "cells" / "reach-noisy0.5-w0.1.json"
    cell = json.loads(other.read_text()) | {"settings": None, "command": "mpo benchmark --units 99"}
    write_sealed(other, {name: value for name, value in cell.items() if name != "sha256"})
    found = invoke(*asked, "sft,dpo,orpo")
    assert found.exit_code == 0, found.output
    assert "leave out 1 of its cells, whose files are kept: benchmark cell" in found.stdout
    assert "reach-noisy0.5-w0.1.json: was made with other settings (" in found.stdout
    written = json.loads((tmp_path / "out" / "summary.json").read_text())["cells"]
    assert {(cell["task"], cell["data"]) for cell in written} == keys - {("reach", "noisy:0.5")}
    other.write_text("{}")
    found = invoke(*asked, "sft,dpo,orpo")
    assert (found.exit_code, "reach-noisy0.5-w0.1.json: is damaged" in found.stdout) == (0, True), found.output


def test_one_loss_alone_repeats_its_score_by_the_command_of_the_page(tmp_path):
    fixed = (*ARGUMENTS, "--tuning", "fixed", "--data", "base")
    assert invoke(*fixed, "--out", tmp_path / "all").exit_code == 0
    assert invoke(*fixed, "--objectives", "orpo", "--out", tmp_path / "one").exit_code == 0
    name = "reach-base-w0.1"
    assert scores(tmp_path / "one", name)["orpo"] == scores(tmp_path / "all", name)["orpo"]


def test_an_objective_that_is_added_costs_itself_alone_and_scores_as_it_would_by_itself(whole, tmp_path, monkeypatch):
    _, out = whole
    found, report_cell, reported = ADDED, benchmark_run.report_cell, []

    def watched(testbed, key, settings, *rest):
        reported.append(settings.objectives)
        return report_cell(testbed, key, settings, *rest)

    monkeypatch.setattr(benchmark_run, "report_cell", watched)
    shutil.copytree(out / "cells", tmp_path / "added" / "cells")
    asked = (*ARGUMENTS, "--data", "base", "--objectives")
    added = invoke(*asked, f"sft,{found},dpo,orpo", "--out", tmp_path / "added")
    assert added.exit_code == 0, added.output
    assert invoke(*asked, found, "--out", tmp_path / "alone").exit_code == 0
    assert reported == [(found,), (found,)]
    before, after, alone = (
        json.loads((folder / "cells" / "reach-base-w0.1.json").read_text())
        for folder in (out, tmp_path / "added", tmp_path / "alone")
    )
    entries = {entry["id"]: entry for entry in after["objectives"]}
    assert list(entries) == ["sft", found, "dpo", "orpo"] == after["settings"]["objectives"]
    assert entries.pop(found) == alone["objectives"][0]
    assert list(entries.values()) == before["objectives"]
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"objectives", "settings", "command", "ranges", "seconds", "sha256"}
    assert all(after["seconds"][part] > before["seconds"][part] for part in ("tuning", "reporting"))
    invoke(*asked, "sft,dpo,orpo", "--out", tmp_path / "added", "--only-tables")  # which may leave it out again
    written = json.loads((tmp_path / "added" / "summary.json").read_text())
    assert {one["objective"] for one in written["overall"]} == {"sft", "dpo", "orpo"}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"objectives": "sft,dpo,orpo,kto"}, "was made with other settings (objectives without kto)"),
        ({"objectives": f"sft,dpo,{ADDED}"}, f"was made with other settings (objectives without {ADDED})"),
        ({"optax": "0.0.1"}, "was made with optax 0.0.1, and here is"),
        ({"backend": "mjx"}, "was made with backend mjx, and here is"),
    ],
)
def test_what_cannot_be_added_to_a_finished_cell_is_refused(change, says, whole, tmp_path):
    _, out = whole
    path = tmp_path / "cells" / "reach-base-w0.1.json"
    cell = json.loads((out / "cells" / path.name).read_text())
    cell["provenance"]["versions"] |= {name: text for name, text in change.items() if name == "optax"}
    cell["provenance"] |= {name: text for name, text in change.items() if name == "backend"}
    del cell["sha256"]
    write_sealed(path, cell)
    ids = change.get("objectives", f"sft,dpo,orpo,{ADDED}")
    refused = invoke(*ARGUMENTS, "--data", "base", "--objectives", ids, "--out", tmp_path)
    assert (refused.exit_code, says in refused.stderr) == (2, True), refused.output
    assert len(refused.stderr.strip().splitlines()) == 1


def test_tables_of_a_cell_that_lacks_an_objective_are_refused_and_its_cost_is_of_that_alone(whole, tmp_path):
    _, out = whole
    shutil.copytree(out / "cells", tmp_path / "cells")
    asked = (*ARGUMENTS, *DATA, "--objectives", f"sft,dpo,orpo,{ADDED}", "--out", tmp_path)
    refused = invoke(*asked, "--only-tables")
    assert (refused.exit_code, f"has no {ADDED} yet" in refused.stderr) == (2, True), refused.output
    assert not (tmp_path / "results.md").exists()
    cost = invoke(*asked, "--dry-run")
    assert "reach, base: 4 policies" in cost.stdout  # on two tuning and two reporting units
    assert "Nothing is left to run" in invoke(*ARGUMENTS, *DATA, "--out", tmp_path, "--dry-run").stdout


def test_settings_that_were_tuned_with_other_agents_are_not_used(whole, monkeypatch):
    _, out = whole
    key, ids = CellKey("reach", "base"), ("sft", "dpo", "orpo")
    settings = BenchmarkSettings(ids, budget=2, tuning_units=2, units=2, preset="smoke", seed=3)
    assert BenchmarkFolder(out).tuned(key, settings, ids) is not None
    monkeypatch.setattr("mpo_experiments.benchmark.folder.agents_hash", lambda task, data: "others")
    assert BenchmarkFolder(out).tuned(key, settings, ids) is None


def test_settings_that_are_borrowed_are_told_by_the_method_they_were_tuned_by(whole, tmp_path):
    _, out = whole
    borrowed = (*ARGUMENTS, "--data", "base", "--tuned-from", out, "--tuning", "fixed")
    assert "reach, base: 6 policies" in invoke(*borrowed, "--out", tmp_path, "--dry-run").stdout  # none to tune
    assert invoke(*borrowed, "--out", tmp_path).exit_code == 0
    cell = json.loads((tmp_path / "cells" / "reach-base-w0.1.json").read_text())
    assert (cell["method"], cell["settings"]["method"]) == ("halving", "fixed")
    other = json.loads((out / "cells" / "reach-base-w0.1.json").read_text())
    other["objectives"][2]["settings"] = {"lam": 0.123}
    del other["sha256"]
    write_sealed(tmp_path / "other" / "cells" / "reach-base-w0.1.json", other)
    refused = invoke(*ARGUMENTS, "--data", "base", "--tuned-from", tmp_path / "other", "--out", tmp_path)
    assert (refused.exit_code, "orpo was run with other settings than" in refused.stderr) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--task", "hoper"), "hopper"),
        (("--data", "mixd:0.5"), "mixed"),
        (("--objectives", "sft,drpo_"), "unknown objective"),
        (("--objectives", "sft,dpo:beta=1"), "only the id can stand here"),
        (("--objectives", "sft,sft"), "twice"),
        (("--bin-width", "0"), "--bin-width"),
        (("--preset", "quik"), "quick"),
        (("--tuning", "halvin"), "halving"),
        (("--tune", "learning-rate,schedul"), "schedule"),
    ],
)
def test_mistakes_are_refused_at_the_door(arguments, says, tmp_path):
    found = invoke(*ARGUMENTS, *arguments, "--out", tmp_path / "new")
    assert found.exit_code == 2
    assert says in found.stderr
    assert len(found.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "new").exists()


def test_a_folder_of_other_settings_or_a_damaged_cell_is_refused(whole, tmp_path):
    _, out = whole
    found = invoke(*ARGUMENTS, *DATA, "--units", 3, "--out", out)
    assert (found.exit_code, "was made with other settings (units 2 and not 3)" in found.stderr) == (2, True)
    found = invoke(*ARGUMENTS, *DATA, "--tuning", "fixed", "--out", out)
    assert (found.exit_code, "--tuning halving" in found.stderr) == (2, True)
    cells = tmp_path / "cells"
    cells.mkdir()
    (cells / "reach-base-w0.1.json").write_text('{"task": "reach"}')
    found = invoke(*ARGUMENTS, "--data", "base", "--out", tmp_path)
    assert (found.exit_code, "is damaged" in found.stderr) == (2, True)


def test_a_dry_run_measures_and_writes_nothing(tmp_path):
    found = invoke(*ARGUMENTS, *DATA, "--out", tmp_path / "new", "--dry-run")
    assert found.exit_code == 0, found.output
    assert "2 cells: about" in found.stdout
    assert "GiB" in found.stdout
    # 5 settings on 2 tuning units, 3 objectives on 2 reporting units
    assert "reach, base: 16 policies" in found.stdout
    assert not (tmp_path / "new").exists()


def test_the_defaults_are_the_papers_baselines_and_tempo():
    assert DEFAULT_IDS == ("sft", "dpo", "ipo", "simpo", "orpo", "r_dpo", "cpo", "slic_hf", "kto", "rrhf", "tempo")
