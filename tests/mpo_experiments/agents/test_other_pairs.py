"""Other pairs of agents of a task: `ant@2` is ant with the agents of seed 2."""

import shutil

import pytest
from typer.testing import CliRunner

from cli.app import app
from mpo_experiments.agents.lookup import AGENTS_DIR_VARIABLE, agents_folder, load_card, other_pairs
from mpo_experiments.agents.training import settings_for, verdict
from mpo_experiments.settings.presets import task_preset
from mpo_experiments.tasks.load import load_task
from mpo_experiments.tasks.registry import task_spec


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A folder with pairs of hopper from seeds 41 and 5, whose agents are copies of the bundled ones."""
    for name in ("hopper@41", "hopper@5", "hopper@x", "hopper@41/snapshots"):
        folder = shutil.copytree(agents_folder("hopper"), tmp_path / name, dirs_exist_ok=True)
        card = folder / "card.json"
        card.write_text(card.read_text().replace('"task": "hopper"', f'"task": "{name}"'))
    monkeypatch.setenv(AGENTS_DIR_VARIABLE, str(tmp_path))
    return tmp_path


def test_a_pair_has_its_seed_and_all_else_of_its_task():
    spec, base = task_spec("hopper@41"), task_spec("hopper")
    assert spec.name == "hopper@41"
    assert settings_for("hopper@41") == settings_for("hopper", seed=41)
    assert (spec.backend, spec.make, spec.description) == (base.backend, base.make, base.description)
    assert task_preset("quick", "hopper@41") == task_preset("quick", "hopper") != {}
    assert task_preset("quick", "reviews@2") == task_preset("quick", "reviews")
    assert load_task("hopper@41").action_size == load_task("hopper").action_size
    assert [load_task(name).name for name in ("hopper@41", "reviews@2", "reviews")] == [
        "hopper@41",
        "reviews@2",
        "reviews",
    ]


def test_a_pair_that_starts_from_another_tasks_starts_from_its_pair():
    assert settings_for("three_legged_ant@3").start == "ant@3"
    assert settings_for("three_legged_ant").start == "ant"


@pytest.mark.parametrize("name", ["ant@", "ant@x", "ant@0", "ant@01", "ant@-1", "ant@1.5", "ant@1@2", "ant@1234567890"])
def test_what_is_no_seed_is_refused(name):
    with pytest.raises(
        ValueError, match=r"after @ stands the seed of another pair of agents, a whole number from 1 on"
    ):
        task_spec(name)


def test_near_misses_of_the_task_are_named():
    with pytest.raises(ValueError, match="did you mean 'hopper'"):
        task_spec("hoper@1")


def test_a_pair_that_is_not_there_is_to_be_trained(monkeypatch):
    monkeypatch.delenv(AGENTS_DIR_VARIABLE, raising=False)
    with pytest.raises(ValueError, match="train them with `mpo agents train --task hopper@41`"):
        load_card("hopper@41")


def test_pairs_are_found_by_their_folders(own):
    assert [name for name in other_pairs("hopper") if name in ("hopper@5", "hopper@41")] == ["hopper@5", "hopper@41"]
    assert "hopper@x" not in other_pairs("hopper")
    assert load_card("hopper@5").task == "hopper@5"
    found = CliRunner().invoke(app, ["agents", "list"])
    assert found.exit_code == 0
    assert "hopper@5" in found.stdout
    assert "hopper@41" in found.stdout


def test_a_pair_is_used_wherever_a_task_is(own):
    found = CliRunner().invoke(app, ["data", "describe", "--task", "hopper@5", "--data", "base", "--rows", "8"])
    assert found.exit_code == 0, found.output
    assert "hopper@5" in found.stdout


def test_training_says_where_a_pair_cannot_be_scored_by_mode_actions():
    card = load_card("hopper")
    assert verdict(card) == "hopper: original 235.6, target 1,068.0"
    better = card.original.model_copy(update={"mode": card.target.mode})
    told = verdict(card.model_copy(update={"original": better}))
    assert "by mode actions the target is no better" in told
    assert told.endswith("train with another seed")
    near = card.original.model_copy(update={"sampled": card.target.sampled})
    assert "too close to tell objectives apart" in verdict(card.model_copy(update={"original": near}))
