"""The third agent: trained, written beside the pair, read, and asked for by data."""

import hashlib
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from typer.testing import CliRunner

from adapters.brax import ppo
from adapters.storage.agent_files import CARD_FILE, OTHER, ROLES, load_agent, read_agents, read_agents_card, save_other
from cli.app import app
from helpers.toy_run import pull, save_toy_agents
from mpo_core.data.specification import parse_data_spec
from mpo_core.settings import RowSettings
from mpo_experiments.agents import other
from mpo_experiments.agents.lookup import check_agents, load_agents, load_card
from mpo_experiments.agents.measuring import interval
from mpo_experiments.agents.other import OTHER_SEED, closest, other_settings, train_other
from mpo_experiments.datasets.build import dataset_recipe
from mpo_experiments.testbed import Testbed

RETURNS = ((0, 1.0), (10, 12.0), (20, 27.0), (30, 35.0), (40, 90.0))
"""Of the run that stands in for PPO's; the original of `reach` returns 30."""


@pytest.fixture
def trained(monkeypatch, reach):
    """Trains as `RETURNS` says; the seeds that it was called with."""
    seeds = []

    def fake_train(task, settings, on_snapshot, start):
        seeds.append((settings.seed, start))
        for steps, return_ in RETURNS:
            on_snapshot(ppo.Snapshot(steps, pull(0.01 * steps), return_))

    monkeypatch.setattr(ppo, "train_ppo", fake_train)
    measured = interval(np.arange(3.0)[:, None])
    monkeypatch.setattr(
        other, "measure", lambda task, agents: [{"sampled": measured, "mode": measured} for _ in agents]
    )
    monkeypatch.setattr(other, "token_log_probs", lambda task, agents: (-2.0, -3.5))
    return seeds


@pytest.fixture
def with_other(tmp_path, trained, monkeypatch):
    """The folder of `reach` with a third agent, which is the one that counts."""
    train_other("reach", other_settings("reach"), tmp_path)
    monkeypatch.setenv("MPO_AGENTS_DIR", str(tmp_path))
    return tmp_path / "reach"


def test_the_run_ends_at_the_originals_return_and_the_closest_is_taken(tmp_path, trained):
    lines = []
    card = train_other("reach", other_settings("reach"), tmp_path, lines.append)
    assert card.other is not None
    assert list(card.other.snapshots) == [0, 10, 20, 30]  # 35 is past 30: the fifth was not trained
    assert card.other.steps == 20  # 27 is closer to 30 than 35
    assert (card.other.token_log_prob, card.other.settings["seed"]) == (-3.5, OTHER_SEED)
    assert card.other.command == f"mpo agents train --task reach --role other --steps 204800 --seed {OTHER_SEED}"
    again = train_other("reach", other_settings("reach"), tmp_path, lines.append)
    assert again == read_agents_card(tmp_path / "reach", "reach")
    assert trained == [(OTHER_SEED, None)]
    assert any("is finished" in line for line in lines)


def test_ties_and_the_start_are_no_choice():
    assert closest({0: 30.0, 10: 25.0, 20: 35.0}, 30.0) == 10
    assert closest({0: 30.0, 10: 90.0}, 30.0) == 10


def test_the_pair_is_as_it_was(tmp_path, with_other):
    save_toy_agents(tmp_path / "plain")
    for role in ROLES:
        name = f"{role}.safetensors"
        assert (with_other / name).read_bytes() == (tmp_path / "plain" / "reach" / name).read_bytes()
    plain = json.loads((tmp_path / "plain" / "reach" / CARD_FILE).read_text())
    assert OTHER not in plain
    assert OTHER not in plain["sha256"]
    card = json.loads((with_other / CARD_FILE).read_text())
    found = card["sha256"].pop(OTHER)
    assert found == hashlib.sha256((with_other / f"{OTHER}.safetensors").read_bytes()).hexdigest()
    card.pop(OTHER)
    assert card == plain


def test_three_agents_load_and_stack(with_other):
    agents = load_agents("reach")
    jax.tree.map(np.testing.assert_array_equal, agents[2], load_agent(with_other / f"{OTHER}.safetensors"))
    stacked = Testbed("reach").agents
    assert stacked.raw_scale.shape == (3, 2)
    jax.tree.map(np.testing.assert_array_equal, jax.tree.map(lambda leaf: leaf[2], stacked), agents[2])


def test_a_damaged_or_foreign_third_agent_is_refused(with_other):
    card = load_card("reach")
    path = with_other / f"{OTHER}.safetensors"
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(ValueError, match=r"other\.safetensors does not match the hash"):
        load_agents("reach")
    path.unlink()
    with pytest.raises(ValueError, match="cannot be read"):
        load_agents("reach")
    small = pull(1.0)
    layers = jax.tree.map(lambda leaf: jnp.concatenate([leaf, leaf], -1), small.layers[:1])
    layers += jax.tree.map(lambda leaf: jnp.concatenate([leaf, leaf], 0) if leaf.ndim > 1 else leaf, small.layers[1:])
    save_other(with_other, card, type(small)(**(vars(small) | {"layers": layers})))
    with pytest.raises(ValueError, match="have different networks"):
        read_agents(with_other, read_agents_card(with_other, "reach"))


def test_only_data_that_ask_for_it_depend_on_the_third_agent(tmp_path, with_other, monkeypatch):
    def recipe(data):
        return dataset_recipe("reach", parse_data_spec(data), RowSettings(4, 5), 0)

    plain, mixed_other = recipe("mixed:0.5"), recipe("mixed_other:0.5")
    assert plain.agents_sha256 != mixed_other.agents_sha256
    save_toy_agents(tmp_path / "plain")
    monkeypatch.setenv("MPO_AGENTS_DIR", str(tmp_path / "plain"))
    assert recipe("mixed:0.5") == plain
    with pytest.raises(ValueError, match=r"data 'mixed_other:0\.5' need an `other` agent, and task 'reach' has none"):
        recipe("mixed_other:0.5")


@pytest.mark.parametrize(
    "command",
    [
        ("data", "describe"), ("meta-train",), ("tune",), ("benchmark",), ("train", "--objective", "dpo"),
        ("render", "--objective", "dpo"), ("profile",),
    ],
)  # fmt: skip
def test_every_command_refuses_data_of_a_missing_agent(tmp_path, reach, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    found = CliRunner().invoke(app, [*command, "--task", "reach", "--data", "noisy:0.1+mixed_other:0.5"])
    assert found.exit_code == 2, found.output
    assert "need an `other` agent" in found.stderr
    assert "--role other" in found.stderr
    assert len(found.stderr.splitlines()) == 1


def test_the_lists_show_it(with_other):
    runner = CliRunner()
    tasks = json.loads(runner.invoke(app, ["list", "tasks", "--json"]).stdout)
    assert next(row for row in tasks if row["name"] == "reach")["other"]["return"] == 1.0
    assert "other" in runner.invoke(app, ["agents", "list"]).stdout
    check_agents("reach", ["mixed_other:0.5", "base"])


def test_agents_of_other_settings_are_not_trained_over(tmp_path, trained):
    train_other("reach", other_settings("reach"), tmp_path)
    before = (tmp_path / "reach" / CARD_FILE).read_bytes()
    found = CliRunner().invoke(app, ["agents", "train", "--task", "reach", "--seed", "5", "--out", str(tmp_path)])
    assert (found.exit_code, found.stderr.count("\n")) == (2, 1)
    assert "holds agents that were trained with other settings" in found.stderr
    assert (tmp_path / "reach" / CARD_FILE).read_bytes() == before


def test_a_seed_that_trained_the_pair_is_refused(tmp_path, trained):
    folder = tmp_path / "reach"
    train_other("reach", other_settings("reach"), tmp_path)
    card = json.loads((folder / CARD_FILE).read_text())
    (folder / CARD_FILE).write_text(json.dumps(card | {"settings": {"seed": 3}}))
    found = CliRunner().invoke(
        app, ["agents", "train", "--task", "reach", "--role", "other", "--seed", "3", "--out", str(tmp_path)]
    )
    assert (found.exit_code, "another run needs another seed" in found.stderr) == (2, True)
