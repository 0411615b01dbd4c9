"""One rule of tuning for all losses: ranges around the default that follow the winner, equal budgets."""

import dataclasses
import json
import math
import re

import numpy as np
import pytest

from adapters.storage.sealed import write_sealed
from helpers.command_line import invoke
from mpo_core.data.specification import parse_data_spec
from mpo_core.evaluation.comparison import ComparisonSettings
from mpo_core.losses.catalogue import catalogue, catalogue_entry, make_objective
from mpo_core.losses.entry import TuningRange
from mpo_core.seeds import Stream
from mpo_core.settings import EvaluationSettings, InnerLoopSettings, RowSettings
from mpo_experiments.tuning.plan import bracket_loops, halving_rungs, plan_of
from mpo_experiments.tuning.ranges import MOST_EXTENSIONS, SettingRange, published_ranges, ranges_with_default
from mpo_experiments.tuning.scores import SettingScores
from mpo_experiments.tuning.setting_search import LEARNING_RATE, SFT_EPOCHS, search_settings
from mpo_experiments.tuning.tune import TuningSettings, objective_search
from mpo_experiments.tuning.tuned import read_tuned

TUNED = [entry.id for entry in catalogue() if entry.tuning]
UNITS = 4


def settings(**changes):
    comparison = ComparisonSettings(
        parse_data_spec("base"), RowSettings(8, 10), InnerLoopSettings(), EvaluationSettings(1, 10), seed=3,
        stream=Stream.TUNING, units=UNITS,
    )  # fmt: skip
    return TuningSettings(budget=changes.pop("budget", 16), comparison=comparison, **changes)


def searched(ids, worth, tokens=100.0, **changes):
    """What comes of a search where a setting is worth `worth(id, setting)` on every unit, and what was asked for."""
    asked = []

    def score(tried, units):
        asked.append((tried, units))
        return np.array([[worth(id, one) + 1e-3 * unit for unit in units] for id, one in tried])

    how = settings(**changes)
    searches = [objective_search(id, how, tokens) for id in ids]
    search_settings(searches, plan_of(how.method, how.budget, UNITS), score)
    return searches, asked


def closeness(name, best):
    """A worth that grows towards one value of one setting."""
    return lambda id, one: -abs(math.log(one.value(name, float(getattr(make_objective(id), name, 1.0))) / best))


@pytest.mark.parametrize("tokens", [100.0, 1200.0, 6000.0])
@pytest.mark.parametrize("id", TUNED)
def test_the_published_default_is_inside_the_range_that_is_searched(id, tokens):
    objective, published = make_objective(id), published_ranges(catalogue_entry(id), tokens)
    for range_, before in zip(ranges_with_default(catalogue_entry(id), tokens), published, strict=True):
        default = getattr(objective, range_.name)
        if default is not None and not (range_.log and default <= 0):
            assert range_.low <= float(default) * (1 + 1e-5)
            assert float(default) * (1 - 1e-5) <= range_.high
        assert range_.low <= before.low
        assert before.high <= range_.high


@pytest.mark.parametrize(
    ("winner", "log", "around"),
    [
        (0.5, True, (0.1, 10.0)),
        (0.12, True, (0.01, 10.0)),
        (8.0, True, (0.1, 100.0)),
        (0.5, False, (0.01, 10.0)),  # 0.04 of the way
        (5.0, False, (0.1, 10.0)),
        (9.5, False, (0.1, 100.0)),
    ],
)
def test_a_winner_in_the_outer_tenth_extends_its_side_tenfold(winner, log, around):
    found = SettingRange("x", 0.1, 10.0, log).around(winner)
    assert (found.low, found.high) == pytest.approx(around)
    assert found.extended == ((found.low, found.high) != (0.1, 10.0))
    assert found.log == (log or found.extended > 0)  # more than a decade of positive numbers


@pytest.mark.parametrize(
    ("range_", "winner", "around"),
    [
        (SettingRange("x", 0.1, 0.4, False, domain=(0.0, 0.5)), 0.4, (0.1, 0.5)),
        (SettingRange("x", 0.1, 0.5, False, domain=(0.0, 0.5)), 0.5, (0.1, 0.5)),
        (SettingRange("x", 0.0, 1.0, False), 0.0, (0.0, 1.0)),
        (SettingRange("x", -2.0, -1.0, False), -1.0, (-2.0, -0.1)),
        (SettingRange("x", -2.0, -1.0, False), -2.0, (-20.0, -1.0)),
    ],
)
def test_no_range_leaves_its_domain(range_, winner, around):
    found = range_.around(winner)
    assert (found.low, found.high) == pytest.approx(around)
    assert found.extended == ((found.low, found.high) != (range_.low, range_.high))


def test_a_domain_is_read_from_the_range_where_it_says_one():
    @dataclasses.dataclass(frozen=True)
    class Known(TuningRange):
        domain: tuple[float, float] = (0.0, 0.5)

    entry = dataclasses.replace(catalogue_entry("robust_dpo"), tuning=(Known("epsilon", 0.05, 0.3),))
    (found,) = ranges_with_default(entry, 100.0)
    assert found.around(0.3).high == 0.5


@pytest.mark.parametrize("best", [2e-3, 0.02, 0.4, 30.0])
def test_the_search_follows_the_winner_until_it_is_within(best):
    (orpo, sft), _ = searched(("orpo", "sft"), closeness("lam", best))
    (range_,) = orpo.ranges
    assert range_.extended <= MOST_EXTENSIONS
    assert not orpo.at_edge(range_)
    assert range_.low < best < range_.high
    assert abs(math.log(orpo.best[0].values["lam"] / best)) < 1.2  # within a factor of 3.3
    assert sft.tried == 1


def test_it_gives_up_after_four_extensions_and_says_so():
    (orpo,), _ = searched(("orpo",), closeness("lam", 1e12), budget=400)
    (range_,) = orpo.ranges
    assert (range_.extended, orpo.at_edge(range_)) == (MOST_EXTENSIONS, True)


@pytest.mark.parametrize("best", [0.2, 1e12])
def test_every_objective_has_the_same_number_of_inner_loops(best):
    ids = ("orpo", "simpo", "cpo", "tempo")
    found, asked = searched(ids, lambda id, one: closeness("lam", best)(id, one) if id == "orpo" else 0.0)
    assert len({one.loops for one in found}) == 1
    assert len({one.tried for one in found}) == 1
    assert found[0].loops >= 16 * UNITS - UNITS
    assert sum(len(tried) * len(units) for tried, units in asked) == len(ids) * found[0].loops


@pytest.mark.parametrize(("budget", "units"), [(2, 2), (16, 3), (16, 4), (64, 6), (256, 3)])
def test_a_plan_spends_its_budget_and_no_more(budget, units):
    plan = plan_of("halving", budget, units)
    loops = units + sum(bracket_loops(count, plan.rungs) for count in plan.rounds)
    assert budget * units - units < loops <= budget * units
    assert 1 + sum(plan.rounds) >= budget  # it buys at least as many settings
    assert [unit for rung in halving_rungs(units) for unit in rung] == list(range(units))


def test_a_setting_that_fails_is_dropped_after_one_unit_and_the_default_stays():
    _, asked = searched(("orpo",), lambda id, one: -1.0 if one.values else -2.0)
    seen = [units for tried, units in asked if any(not one.values for _, one in tried)]
    assert [unit for rung in seen for unit in rung] == list(range(UNITS))
    counts = [(len(tried), len(units)) for tried, units in asked]
    assert counts[:3] == [(17, 1), (9, 1), (5, 2)]


def test_fixed_is_how_it_was_before():
    (orpo, dpo), asked = searched(("orpo", "dpo"), lambda id, one: 0.0, method="fixed", tokens=1200.0)
    ((tried, units),) = asked  # one comparison, every setting on every unit
    assert (len(tried), units) == (2 * 16, range(UNITS))
    assert [range_.extended for range_ in orpo.ranges + dpo.ranges] == [0, 0]
    generator = np.random.default_rng([3, int(Stream.TUNING), *b"orpo"])
    low, high = (math.log(x) for x in (orpo.ranges[0].low, orpo.ranges[0].high))
    drawn = [float(f"{math.exp(generator.uniform(low, high)):.4g}") for _ in range(15)]
    assert [one.values for id, one in tried if id == "orpo"] == [{}] + [{"lam": value} for value in drawn]
    assert orpo.best[0].values == {}  # the first of several that are alike


def test_learning_rate_and_schedule_are_tuned_for_every_loss_alike():
    best = {"orpo": (5e-4, 0), "sft": (5e-3, 0), "dpo": (1e-4, 6), "tempo": (2e-2, 10)}

    def worth(id, one):
        rate, epochs = best[id]
        return -abs(math.log(one.value(LEARNING_RATE, 1e-3) / rate)) - abs(one.sft_epochs - epochs)

    found, _ = searched(tuple(best), worth, tune=("learning-rate", "schedule"), budget=256)
    for one in found:
        rate, epochs = best[one.id]
        assert one.best[0].value(LEARNING_RATE, 1e-3) == pytest.approx(rate)
        assert one.best[0].sft_epochs == epochs
    assert len({one.loops for one in found}) == 1
    ranges = {one.id: {range_.name: range_ for range_ in one.ranges} for one in found}
    assert ranges["tempo"].keys() == {"beta", "lam", "t0", "t1", LEARNING_RATE, SFT_EPOCHS}
    assert (ranges["tempo"]["t0"].low, ranges["tempo"]["t1"].high) == (0.0, 1.0)
    assert ranges["tempo"][LEARNING_RATE].extended == 1  # 0.02 lies outside of 1e-4 to 1e-2
    assert ranges["orpo"][SFT_EPOCHS].steps == (0.0, 3.0, 6.0, 9.0, 10.0)


def test_a_file_says_how_it_was_tuned_and_at_which_rate(reach, tmp_path):
    found = invoke(
        "tune", "--task", "reach", "--data", "base", "--objectives", "sft,orpo", "--budget", "3", "--units", "2",
        "--preset", "smoke", "--tune", "learning-rate", "--out", tmp_path,
    )  # fmt: skip
    assert found.exit_code == 0, found.output
    cell = json.loads((tmp_path / "reach" / "base.json").read_text())
    assert (cell["method"], cell["tune"], cell["updates_a_loop"]) == ("halving", ["learning-rate"], 8)
    assert "--tuning halving --tune learning-rate" in cell["command"]
    sft, orpo = (cell["objectives"][id] for id in ("sft", "orpo"))
    assert sft["loops"] == orpo["loops"]
    assert set(sft["searched"]) == {LEARNING_RATE}
    assert set(orpo["searched"]) == {"lam", LEARNING_RATE}
    assert f"{8 * sft['loops']:,} updates" in found.stdout
    assert max(map(len, found.stdout.split("Written to")[0].splitlines())) <= 80


def kept(folder):
    return [path.name for path in (folder / "reach").iterdir() if path.name != ".lock"]


def test_an_interrupted_tuning_goes_on_where_it_was_left(reach, tmp_path, monkeypatch):
    arguments = (
        "tune", "--task", "reach", "--data", "base", "--objectives", "sft,orpo", "--budget", "3", "--units", "2",
        "--preset", "smoke",
    )  # fmt: skip
    whole = invoke(*arguments, "--out", tmp_path / "whole")
    assert whole.exit_code == 0, whole.output
    asked, compare, most = [], SettingScores.compare, 2

    def interrupted(self, tried, units):
        if len(asked) == most:
            raise KeyboardInterrupt
        asked.append((str(tried), units))
        return compare(self, tried, units)

    monkeypatch.setattr(SettingScores, "compare", interrupted)
    monkeypatch.setattr("mpo_experiments.tuning.scores.UPDATES_AT_ONCE", 1)  # two settings, a device each
    stopped = invoke(*arguments, "--out", tmp_path / "out")
    assert (stopped.exit_code, "the scores that were made are kept" in stopped.stderr) == (130, True), stopped.output
    assert re.fullmatch(r"base-smoke-0\.scores-[0-9a-f]{8}\.jsonl", *kept(tmp_path / "out"))
    most = 100
    resumed = invoke(*arguments, "--out", tmp_path / "out")
    assert resumed.exit_code == 0, resumed.output
    assert asked[0][1] == asked[1][1]  # parts of one rung
    assert all(asked.count(one) == 1 for one in asked)  # nothing was run again
    assert "Tuning: settings 1 to 2 of" in stopped.output
    assert kept(tmp_path / "out") == ["base.json"]
    cells = [json.loads((tmp_path / name / "reach" / "base.json").read_text()) for name in ("whole", "out")]
    assert cells[0] == cells[1]


def test_what_another_command_tuned_is_not_written_over(reach, tmp_path):
    tune = ("tune", "--task", "reach", "--data", "base", "--units", "2", "--preset", "smoke", "--out", tmp_path / "out")
    path, asked = tmp_path / "out" / "reach" / "base.json", ("--budget", "3", "--objectives", "sft,orpo")
    assert invoke(*tune, *asked).exit_code == 0
    before = path.read_bytes()
    for other in (("--objectives", "cpo"), ("--budget", "4"), ("--tune", "schedule"), ("--seed", "1")):
        refused = invoke(*tune, *asked, *other)
        assert (refused.exit_code, "were made by another command, mpo tune --task reach" in refused.stderr) == (2, True)
    assert path.read_bytes() == before
    assert invoke(*tune, *asked).exit_code == 0
    assert path.read_bytes() == before
    cell = read_tuned(path)
    others = cell.model_copy(update={"provenance": cell.provenance | {"agents": "x"}})
    write_sealed(path, others.model_dump(mode="json"))
    refused = invoke(*tune, *asked)
    assert (refused.exit_code, "were made with other agents" in refused.stderr) == (2, True)


def test_what_was_tuned_trains_at_its_own_rate_and_schedule(reach, tmp_path):
    arguments = (
        "benchmark", "--task", "reach", "--data", "base", "--objectives", "sft,orpo", "--budget", "4",
        "--tuning-units", "2", "--units", "2", "--preset", "smoke", "--seed", "3",
    )  # fmt: skip
    found = invoke(*arguments, "--tune", "learning-rate,schedule", "--out", tmp_path / "generous")
    assert found.exit_code == 0, found.output
    cell = json.loads((tmp_path / "generous" / "cells" / "reach-base-w0.1.json").read_text())
    changed = [entry for entry in cell["objectives"] if entry["learning_rate"] is not None or entry["sft_epochs"]]
    again = invoke(*arguments, "--tuned-from", tmp_path / "generous", "--out", tmp_path / "borrowed")
    assert again.exit_code == 0, again.output
    borrowed = json.loads((tmp_path / "borrowed" / "cells" / "reach-base-w0.1.json").read_text())
    for one, other in zip(cell["objectives"], borrowed["objectives"], strict=True):
        assert {name: one[name] for name in one if name != "tried"} == {n: other[n] for n in other if n != "tried"}
    plain = invoke(*arguments, "--tuning", "fixed", "--budget", "1", "--out", tmp_path / "plain")
    assert plain.exit_code == 0, plain.output
    scores = json.loads((tmp_path / "plain" / "cells" / "reach-base-w0.1.json").read_text())["objectives"]
    default = {entry["id"]: entry["sampled"] for entry in scores}
    assert changed
    assert all(entry["sampled"] != default[entry["id"]] for entry in changed)
