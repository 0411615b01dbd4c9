"""Objectives by name: parsed once, into a value that knows what it is."""

import re
from pathlib import Path

import pytest

from mpo_core.losses.ids import OWN_IDS
from mpo_core.losses.named_loss import NamedLoss, parse_loss
from mpo_experiments.objectives.named import bundled_names, parse_objective, parse_objectives

SOURCE = Path(__file__).parents[3] / "src"
KEPT = Path(__file__).parents[2] / "kept" / "run"


def test_a_loss_with_settings():
    found = parse_objective(" dpo:beta=0.3 ".strip())
    assert (found.loss, found.path) == (NamedLoss("dpo", (("beta", 0.3),)), None)
    assert not found.is_saved
    assert float(found.load().beta) == pytest.approx(0.3)
    assert str(found.loss.spelled_out()) == "dpo:beta=0.3"
    assert (found.sft_epochs(12), found.sft_epochs(6)) == (10, 5)


def test_every_number_is_spelled_out():
    assert str(parse_loss("tempo:lam=2").spelled_out()) == "tempo:beta=2,lam=2,t0=0,t1=1"
    assert parse_loss("sft").spelled_out() == NamedLoss("sft")


@pytest.mark.parametrize(("text", "temporal"), [("tempo", True), ("orpo", False), (str(KEPT), True)])
def test_its_form_is_known(text, temporal):
    assert parse_objective(text).temporal is temporal


def test_a_run_folder_and_one_that_comes_with_mpo(monkeypatch, tmp_path):
    own = parse_objective(str(KEPT))
    assert own.is_saved
    assert own.card()["temporal"]
    bundled = parse_objective("discovered/halfcheetah-mixed75-static")
    assert not bundled.temporal
    assert bundled.resolved() is bundled
    monkeypatch.chdir(KEPT.parent)
    assert parse_objective("run").resolved().file == KEPT


def test_a_comma_before_a_setting_joins():
    found = parse_objectives("dpo:beta=0.1, tempo:beta=1,lam=2,orpo")
    assert [str(one) for one in found] == ["dpo:beta=0.1", "tempo:beta=1,lam=2", "orpo"]


def test_all_and_discovered_stand_for_many():
    found = [str(one) for one in parse_objectives("all, discovered")]
    assert set(OWN_IDS) <= set(found)
    assert [id for id in found if "/" in id] == bundled_names()
    assert len(set(found)) == len(found)
    with pytest.raises(ValueError, match="twice"):
        parse_objectives("all,dpo")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("dpq", "unknown objective 'dpq': did you mean 'dpo'"),
        ("dpo:gamma=1", "unknown setting of objective 'dpo' 'gamma'"),
        ("discovered/nosuch", "mpo list discovered"),
        ("", "unknown objective ''"),
    ],
)
def test_refusals(text, says):
    with pytest.raises(ValueError, match=re.escape(says)):
        parse_objective(text)


def test_a_file_that_is_not_there_is_refused_when_it_is_asked_for(tmp_path):
    named = parse_objective(str(tmp_path / "missing.json"))
    with pytest.raises(ValueError, match="cannot be read"):
        named.check()


@pytest.mark.parametrize("function", ["_is_path", "parse_objective_text"])
def test_texts_are_looked_at_in_one_place(function):
    calls = [
        (file.name, line)
        for file in SOURCE.rglob("*.py")
        for line in file.read_text().splitlines()
        if re.search(rf"(?<!def )\b{function}\(", line)
    ]
    assert len(calls) == 1, calls
