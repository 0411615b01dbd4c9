"""`mpo discover` and saved objectives as ids, on the worked example's task."""

import dataclasses
import json
import shutil
from pathlib import Path

import equinox as eqx
import numpy as np
import pytest

from adapters.storage.objective_files import read_objective
from adapters.storage.sealed import seal_of
from helpers.benchmark_cells import SETTINGS, make_cell
from helpers.command_line import invoke
from helpers.objectives import export as exported, load_objective, sft_epochs_of
from mpo_core import make_objective
from mpo_core.evaluation.statistics import crossed_test
from mpo_core.losses.catalogue import catalogue_entry, saved_ids
from mpo_core.settings import UnusableSetting
from mpo_experiments.agents.lookup import load_card
from mpo_experiments.benchmark.cell import BenchmarkSettings, CellKey, Choice
from mpo_experiments.benchmark.folder import BenchmarkFolder
from mpo_experiments.discovery.carry_over import Found, Transfer, same_conditions
from mpo_experiments.discovery.queue import Discovery, DiscoverySettings, best_start, check_search
from mpo_experiments.objectives.named import bundled_names, located
from mpo_experiments.progress import SilentReporter
from mpo_experiments.settings.run_config import read_run_config

ZOO = ("benchmark", "--task", "reach", "--objectives", "sft,orpo,tempo,kto", "--budget", "2", "--tuning-units", "2",
       "--units", "2", "--preset", "smoke", "--seed", "3", "--data", "base")  # fmt: skip
QUEUE = ("discover", "--task", "reach", "--data", "base,noisy:0.5", "--units", "3", "--preset", "smoke", "--seed", "5",
         "--set", "strategy.population=4")  # fmt: skip


@pytest.fixture(scope="module")
def queue(reach, tmp_path_factory):
    """One cell of two, its hand-written objectives tuned before."""
    out = tmp_path_factory.mktemp("discover")
    tuned = invoke(*ZOO, "--out", out / "zoo")
    assert tuned.exit_code == 0, tuned.output
    found = invoke(*QUEUE[:4], "base", *QUEUE[5:], "--tuned-from", out / "zoo", "--out", out / "queue")
    assert found.exit_code == 0, found.output
    return found, out


def cell_of(out):
    return json.loads((out / "queue" / "cells" / "reach-base-w0.1.json").read_text())


def test_a_cell_holds_the_zoo_as_it_was_tuned_and_what_both_searches_found(queue):
    _, out = queue
    zoo = json.loads((out / "zoo" / "cells" / "reach-base-w0.1.json").read_text())
    by_id = {entry["id"]: entry for entry in cell_of(out)["objectives"]}
    for entry in zoo["objectives"]:
        for name in ("settings", "tried", "tuning_score"):
            assert by_id[entry["id"]][name] == entry[name]
        assert len(by_id[entry["id"]]["sampled"]) == 3
    runs = out / "queue" / "runs"
    for form in ("static", "temporal"):
        card, _ = read_objective(runs / f"reach-base-{form}")
        assert card["temporal"] == (form == "temporal")
        assert by_id[str(runs / f"reach-base-{form}")]["sha256"] == seal_of(card)


def test_the_table_says_what_was_run_and_what_was_not(queue):
    _, out = queue
    again = invoke(*QUEUE, "--out", out / "queue", "--only-tables")
    assert again.exit_code == 0, again.output
    written = (out / "queue" / "results.md").read_text()
    assert "not run" in written
    assert "(best when tuned)" in written
    cells = json.loads((out / "queue" / "summary.json").read_text())["cells"]
    assert [cell["run"] for cell in cells] == [True, False]
    assert cells[0]["temporal"]["minus_best_tuned"]["sampled"]["units"] == 3
    shown = again.stdout.split("Written to")[0]
    assert max(map(len, shown.splitlines())) <= 80
    best = max(cell_of(out)["objectives"], key=lambda one: one["tuning_score"] if one["sha256"] is None else -1e9)["id"]
    assert "reach, base" in shown  # the name of the cell is whole
    assert best in shown
    for kind in ("sampled", "mode"):
        assert f"{cells[0]['temporal']['minus_best_tuned'][kind]['estimate']:.2f} [" in shown
    assert "A search takes 8 inner loops, 64 updates" in " ".join(shown.split())


def test_several_searches_a_cell_are_crossed_with_its_units(queue, tmp_path):
    _, out = queue
    arguments = (*QUEUE[:4], "base", *QUEUE[5:], "--forms", "static", "--tuned-from", out / "zoo")
    copy = shutil.copytree(out / "queue" / "runs", tmp_path / "queue" / "runs")
    one = (copy / "reach-base-static" / "objective.safetensors").read_bytes()
    found = invoke(*arguments, "--search-seeds", "3", "--out", tmp_path / "queue")
    assert found.exit_code == 0, found.output
    assert max(map(len, found.stdout.split("Written to")[0].splitlines())) <= 80
    assert (copy / "reach-base-static" / "objective.safetensors").read_bytes() == one  # the first is that of one alone
    names = ["reach-base-static", "reach-base-static-s1", "reach-base-static-s2"]
    assert [json.loads((copy / name / "config.json").read_text())["seed"] for name in names] == [0, 1, 2]
    cell = json.loads((tmp_path / "queue" / "cells" / "reach-base-w0.1.json").read_text())
    by_name = {entry["id"].rpartition("/")[2]: entry for entry in cell["objectives"]}
    (told,) = json.loads((tmp_path / "queue" / "summary.json").read_text())["cells"]
    best = np.array(by_name[told["best_tuned"]]["sampled"])
    differences = np.array([by_name[name]["sampled"] for name in names]) - best
    gain = told["static"]["minus_best_tuned"]
    known = crossed_test(differences)
    assert gain["sampled"]["estimate"] == pytest.approx(differences.mean())
    assert (gain["sampled"]["low"], gain["sampled"]["p_value"]) == pytest.approx((known.interval.low, known.p_value))
    above = int((differences.mean(1) > 0).sum())
    assert gain["searches_above"]["estimate"] == pytest.approx(above / 3)
    assert f"{above} of 3 [" in (tmp_path / "queue" / "results.md").read_text()
    refused = invoke(*arguments, "--search-seeds", "4", "--out", tmp_path / "queue")
    assert (refused.exit_code, "reach-base-static-s3" in refused.stderr) == (2, True)


def test_a_finished_cell_is_not_run_again(queue):
    _, out = queue
    before = cell_of(out)
    assert invoke(*QUEUE[:4], "base", *QUEUE[5:], "--tuned-from", out / "zoo", "--out", out / "queue").exit_code == 0
    assert cell_of(out) == before


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--units", "4"), "its cell of reach, base was made with other settings"),
        (("--seed", "6"), "its cell of reach, base was made with other settings"),
        (("--search-seed", "7"), "reach-base-static: was made with other settings"),
        (("--set", "search.generations=3"), "reach-base-static: was made with other settings"),
    ],
)
@pytest.mark.parametrize("only", [(), ("--only-tables",)])
def test_a_table_of_other_settings_is_refused(queue, arguments, says, only):
    _, out = queue
    written = (out / "queue" / "results.md").read_bytes()
    found = invoke(*QUEUE[:4], "base", *QUEUE[5:], *arguments, "--out", out / "queue", *only)
    assert found.exit_code == 2, found.output
    assert says in found.stderr
    assert (out / "queue" / "results.md").read_bytes() == written


def test_a_zoo_of_other_settings_is_refused_before_anything_is_run(queue, tmp_path):
    _, out = queue
    shutil.copytree(out / "zoo" / "cells", tmp_path / "queue" / "zoo" / "cells")
    refused = invoke(*QUEUE[:4], "base", *QUEUE[5:], "--out", tmp_path / "queue")
    assert (refused.exit_code, "was made with other settings (" in refused.stderr) == (2, True), refused.output
    assert not (tmp_path / "queue" / "runs").exists()


@pytest.mark.parametrize("only", [(), ("--only-tables",)])
def test_a_cell_of_other_tuned_settings_is_refused(queue, tmp_path, only):
    _, out = queue
    copy, zoo = shutil.copytree(out / "queue", tmp_path / "queue"), shutil.copytree(out / "zoo", tmp_path / "zoo")
    asked = (*QUEUE[:4], "base", *QUEUE[5:], "--tuned-from", zoo, "--out", copy, *only)
    assert invoke(*asked).exit_code == 0
    path = zoo / "cells" / "reach-base-w0.1.json"
    cell = BenchmarkFolder(zoo).any_cell(CellKey("reach", "base"))
    entries = [
        one.model_copy(update={"settings": {"lam": 77.0}, "tuning_score": 1e6}) if one.id == "orpo" else one
        for one in cell.objectives
    ]
    BenchmarkFolder(zoo).save(cell.model_copy(update={"objectives": entries}))
    assert path.read_bytes() != (out / "zoo" / "cells" / path.name).read_bytes()
    refused = invoke(*asked)
    assert (refused.exit_code, "orpo was run with other settings than --tuned-from" in refused.stderr) == (2, True)
    (copy / "cells" / path.name).unlink()  # as in a cell under way: its searches began from another start
    if not only:
        refused = invoke(*asked)
        assert (refused.exit_code, "reach-base-static: was made with other settings" in refused.stderr) == (2, True)


def test_a_table_of_fewer_searches_than_there_are_is_refused(queue, tmp_path):
    _, out = queue
    copy = shutil.copytree(out / "queue", tmp_path / "queue")
    folder = BenchmarkFolder(copy)
    cell = folder.any_cell(CellKey("reach", "base"))
    second = cell.objectives[-1].model_copy(update={"id": f"{cell.objectives[-1].id}-s1"})
    settings = dataclasses.replace(cell.settings, objectives=(*cell.settings.objectives, second.id))
    folder.save(cell.model_copy(update={"objectives": [*cell.objectives, second], "settings": settings}))
    refused = invoke(*QUEUE, "--out", copy, "--only-tables")
    assert refused.exit_code == 2, refused.output
    assert "has reach-base-temporal-s1, a search more than are asked for" in refused.stderr


def test_searches_of_other_agents_are_refused(queue, monkeypatch):
    _, out = queue
    settings = read_run_config(out / "queue" / "runs" / "reach-base-static" / "config.json")
    check_search(out / "queue" / "runs" / "reach-base-static", settings.model_copy(update={"provenance": {}}))
    monkeypatch.setattr("mpo_experiments.discovery.queue.agents_hash", lambda task, data: "others")
    with pytest.raises(ValueError, match="reach-base-static: was made with other agents"):
        check_search(out / "queue" / "runs" / "reach-base-static", settings.model_copy(update={"provenance": {}}))


@pytest.mark.parametrize(
    "change", [{}, {"seed": 7}, {"agents": "others"}, {"horizon": 9}, {"target": 901.0}, {"units": 3}]
)
def test_what_was_carried_over_is_kept_on_the_same_units_alone(change):
    own = make_cell()
    before = own.model_copy(
        update={
            "config": {"evaluation": {"horizon": change.get("horizon", 1000)}}, "target": change.get("target", 900.0),
            "provenance": own.provenance | ({"agents": "others"} if "agents" in change else {}),
            "objectives": [
                one.model_copy(update={kind: getattr(one, kind)[: change.get("units")] for kind in ("sampled", "mode")})
                for one in own.objectives
            ],
        }
    )  # fmt: skip
    asked = dataclasses.replace(SETTINGS, objectives=("sft",), seed=change.get("seed", SETTINGS.seed))
    assert same_conditions(before, asked, own) == (not change)


def test_a_cell_without_what_a_search_found_is_refused(queue, tmp_path):
    _, out = queue
    copy = shutil.copytree(out / "queue", tmp_path / "queue")
    assert invoke(*QUEUE, "--out", copy, "--only-tables").exit_code == 0
    static, temporal = (copy / "runs" / f"reach-base-{form}" for form in ("static", "temporal"))
    for name in ("objective.json", "objective.safetensors"):
        shutil.copy(static / name, temporal / name)
    refused = invoke(*QUEUE, "--out", copy, "--only-tables")
    assert refused.exit_code == 2, refused.output
    assert f"made without {temporal}, or with another" in refused.stderr
    shutil.rmtree(temporal)  # as in a folder that was made with the static form alone
    refused = invoke(*QUEUE, "--out", copy)
    assert refused.exit_code == 2, refused.output
    assert f"made without {temporal}, or with another" in refused.stderr
    assert not temporal.exists()
    assert invoke(*QUEUE, "--forms", "static", "--out", copy, "--only-tables").exit_code == 0


def test_tables_alone_need_no_settings_to_borrow_but_a_cell(queue, tmp_path):
    _, out = queue
    shutil.copytree(out / "queue", tmp_path / "queue")
    found = invoke(*QUEUE, "--tuned-from", tmp_path / "nowhere", "--out", tmp_path / "queue", "--only-tables")
    assert found.exit_code == 0, found.output
    refused = invoke(*QUEUE, "--tuned-from", tmp_path / "nowhere", "--out", tmp_path / "new", "--only-tables")
    assert (refused.exit_code, "holds none of these cells" in refused.stderr) == (2, True)
    assert not (tmp_path / "new" / "results.md").exists()


def test_what_was_found_in_a_cell_is_used_in_the_others(queue, tmp_path):
    _, out = queue
    shutil.copytree(out / "queue", tmp_path / "queue")
    both = (*QUEUE, "--tuned-from", out / "zoo2", "--out", tmp_path / "queue", "--transfer")
    shutil.copytree(out / "zoo", out / "zoo2")  # base is there, and is not run again
    tuned = invoke(*ZOO[:-1], "base,noisy:0.5", "--out", out / "zoo2")
    assert tuned.exit_code == 0, tuned.output
    found = invoke(*both)
    assert found.exit_code == 0, found.output
    assert max(map(len, found.stdout.split("Written to")[0].splitlines())) <= 80
    assert "In other cells than their own" in found.stdout
    told = json.loads((tmp_path / "queue" / "transfer.json").read_text())["found"]
    assert [(one["found_in"], one["form"]) for one in told] == [
        (f"reach, {data}", form) for data in ("base", "noisy:0.5") for form in ("static", "temporal")
    ]
    cells = {
        data: json.loads((tmp_path / "queue" / "transfer" / "cells" / f"reach-{data}-w0.1.json").read_text())
        for data in ("base", "noisy0.5")
    }
    home = json.loads((tmp_path / "queue" / "cells" / "reach-noisy0.5-w0.1.json").read_text())
    at_home = {entry["id"]: entry for entry in home["objectives"]}
    best, *foreign = cells["noisy0.5"]["objectives"]
    assert best["sampled"] == at_home[best["id"]]["sampled"]  # the same units, the same settings
    assert [entry["id"].rpartition("/")[2] for entry in foreign] == ["reach-base-static", "reach-base-temporal"]
    minus = np.mean(np.subtract(foreign[1]["sampled"], best["sampled"]))
    assert told[1]["minus_best_tuned"]["reach, noisy:0.5"]["estimate"] == pytest.approx(minus)
    before = (tmp_path / "queue" / "transfer" / "cells" / "reach-base-w0.1.json").read_bytes()
    assert invoke(*both).exit_code == 0
    assert (tmp_path / "queue" / "transfer" / "cells" / "reach-base-w0.1.json").read_bytes() == before
    assert "Minus the best tuned" in (tmp_path / "queue" / "transfer.md").read_text()


def test_on_another_task_an_objective_lies_where_that_task_has_its_log_probs(tmp_path):
    key = CellKey("halfcheetah", "mixed:0.75")
    settings = DiscoverySettings(("static",), BenchmarkSettings(), search_seed=0)
    transfer = Transfer(Discovery(tmp_path, settings, SilentReporter()))
    source = located("discovered/halfcheetah-mixed75-static")
    own = shutil.copytree(source, transfer.queue.run_path(key, "static"))
    at_home, away = (transfer._ready(Found(key, "static"), CellKey(task, "base")) for task in ("halfcheetah", "ant"))
    assert at_home == str(own)
    assert away == str(tmp_path / "transfer" / "moved" / "halfcheetah-mixed0.75-static-to-ant")
    network = load_objective(away).phi_inv.network
    target = load_card("ant").token_log_probs
    np.testing.assert_allclose([network.centre, network.centre - network.width], target, rtol=1e-5)
    before = (Path(away) / "objective.safetensors").stat().st_mtime_ns
    assert transfer._ready(Found(key, "static"), CellKey("ant", "noisy:0.2")) == away
    assert (Path(away) / "objective.safetensors").stat().st_mtime_ns == before  # as it was
    shutil.rmtree(own)
    shutil.copytree(located("discovered/halfcheetah-mixed75-temporal"), own)  # as where its search was run again
    transfer._ready(Found(key, "static"), CellKey("ant", "base"))
    moved, again = (json.loads((Path(place) / "objective.json").read_text()) for place in (away, own))
    assert moved["provenance"]["reframed"]["sha256"] == again["sha256"]


def test_an_objective_file_runs_in_a_benchmark_and_a_changed_one_is_refused(queue, tmp_path):
    _, out = queue
    runs = out / "queue" / "runs"
    ours = tmp_path / "mine"
    ours.mkdir()

    def put(form):
        for name in ("objective.json", "objective.safetensors"):
            (ours / name).write_bytes((runs / f"reach-base-{form}" / name).read_bytes())

    put("temporal")
    arguments = (*ZOO[:4], f"sft,{ours}", *ZOO[5:], "--out", tmp_path / "cells")
    found = invoke(*arguments)
    assert found.exit_code == 0, found.output
    assert "mine" in found.stdout
    assert max(map(len, found.stdout.split("One cell again")[0].splitlines())) <= 80
    put("static")
    refused = invoke(*arguments)
    assert refused.exit_code == 2
    assert "was made with another" in refused.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--forms", "statc"), "static"),
        (("--tuned-from", "nowhere"), "has no cell"),
        (("--set", "search.generation=3"), "generations"),
        (("--set", "seed=7"), "--set seed: what this is in a search follows from its cell"),
        (("--set", "temporal=false"), "--set temporal: what this is in a search follows from its cell"),
        (("--set", "task=hopper"), "--set task: what this is in a search follows from its cell"),
        (("--set", "init=orpo"), "--set init: what this is in a search follows from its cell"),
        (
            ("--set", "strategy.name=random", "--set", "strategy.learning_rate=0.5"),
            "has no effect on strategy 'random'",
        ),
        (("--task", "reech"), "reach"),
    ],
)
def test_mistakes_are_refused_at_the_door(reach, arguments, says, tmp_path):
    found = invoke(*QUEUE, *arguments, "--out", tmp_path / "new")
    assert found.exit_code == 2, found.output
    assert says in found.stderr
    assert len(found.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "new").exists()


def test_a_search_starts_from_the_best_tuned_member_that_it_can_start_from():
    choices = {
        "kto": Choice({}, 0, 1, 0.9),  # no member
        "ipo": Choice({}, 10, 1, 0.8),  # a member that is not monotone
        "tempo": Choice({"beta": 0.5, "lam": 1.4}, 0, 16, 0.7),
        "orpo": Choice({"lam": 0.25}, 0, 16, 0.6),
        "sft": Choice({}, 0, 1, 0.65),  # a member, of sums
    }
    assert best_start(choices, "temporal") == "tempo:beta=0.5,lam=1.4"
    assert best_start(choices, "static") == "orpo:lam=0.25"
    assert best_start({"sft": choices["sft"], "kto": choices["kto"]}, "static") == "sft"
    with pytest.raises(UnusableSetting, match="no static search can start from tempo: add one"):
        best_start({"tempo": choices["tempo"]}, "static")


@pytest.mark.parametrize("name", bundled_names())
def test_a_bundled_objective_is_an_id_wherever_one_is(name):
    objective = make_objective(name)
    assert eqx.tree_equal(objective, load_objective(name))
    assert name in saved_ids()
    assert "learned from" in exported(name, "torch")
    assert catalogue_entry(name).sft_epochs == sft_epochs_of(name, 12) == 0
    listed = json.loads(invoke("list", "discovered", "--json").stdout)
    assert name in [row["name"] for row in listed]


def test_there_are_bundled_objectives_and_a_misspelt_one_is_told_the_nearest():
    name = bundled_names()[0]
    found = invoke("train", "--task", "halfcheetah", "--objective", name[:-1])
    assert found.exit_code == 2
    assert f"did you mean '{name}'" in found.stderr
    with pytest.raises(ValueError, match="unknown objective"):
        make_objective("discovered/nothing-like-it")
