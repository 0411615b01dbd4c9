"""Agents: brax's networks as our policies, the files they live in, and the choice of the two."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from brax.training.acme import running_statistics

from adapters.brax import ppo
from adapters.storage import agent_files as agents
from adapters.storage.agent_files import (
    AgentRecord,
    AgentsCard,
    OtherRecord,
    load_agent,
    read_agents,
    save_agent,
    save_agents,
    save_other,
)
from helpers.toy_task import ToyTask
from mpo_core.policies.gaussian import GaussianPolicy
from mpo_experiments.agents.lookup import AGENTS_DIR_VARIABLE, load_agents, load_card, other_pairs
from mpo_experiments.agents.measuring import interval, measure, token_log_probs
from mpo_experiments.agents.training import choose, settings_for, train_agents
from mpo_experiments.reviews.grammar import LONGEST
from mpo_experiments.tasks.registry import PPOSettings, task_names, task_spec

OBSERVATION, ACTION = 5, 3
SETTINGS = PPOSettings(steps=1000, evaluations=1)


@pytest.fixture(scope="module")
def brax_policy():
    """A random brax network with a normaliser that has seen data: its parameters and its logits function."""
    networks = ppo.network_factory(SETTINGS)(
        OBSERVATION, ACTION, preprocess_observations_fn=running_statistics.normalize
    )
    keys = jax.random.split(jax.random.key(0), 3)
    policy = networks.policy_network.init(keys[0])
    # trained networks have biases and unequal deviations
    policy = jax.tree.map(lambda leaf: leaf + 0.1 * jax.random.normal(keys[1], leaf.shape), policy)
    seen = jnp.linspace(-1, 4, OBSERVATION) + jnp.arange(1.0, 1 + OBSERVATION) * jax.random.normal(
        keys[2], (200, OBSERVATION)
    )
    statistics = running_statistics.update(running_statistics.init_state(jnp.zeros(OBSERVATION)), seen)
    return (statistics, policy), networks


@pytest.fixture
def policy(brax_policy) -> GaussianPolicy:
    return ppo.to_gaussian_policy(brax_policy[0])


@pytest.fixture
def bundle(tmp_path, monkeypatch, policy):
    """A folder of the user's with agents for hopper."""
    monkeypatch.setenv(AGENTS_DIR_VARIABLE, str(tmp_path))
    measured = interval(np.arange(10.0)[:, None])
    record = AgentRecord(steps=1, sampled=measured, mode=measured)
    card = AgentsCard(
        task="hopper", backend="positional", command="mpo agents train", rule="", settings={"steps": 1},
        snapshots={0: 1.0}, horizon=1000, bin_width=0.1, activation="relu", measurement_seed=0, versions={},
        date="2026-01-01", original=record, target=record,
    )  # fmt: skip
    better = dataclasses.replace(policy, raw_scale=policy.raw_scale - 1)
    save_agents(tmp_path / "hopper", card, (policy, better))
    return tmp_path / "hopper", card, (policy, better)


def test_converted_policies_equal_braxs(brax_policy, policy):
    params, networks = brax_policy
    far = 50 * jax.random.normal(jax.random.key(5), (300, OBSERVATION))  # a clipping normaliser would show
    logits = networks.policy_network.apply(*params, far)
    np.testing.assert_allclose(
        policy.mode(far), networks.parametric_action_distribution.mode(logits), rtol=1e-5, atol=1e-5
    )
    scale = networks.parametric_action_distribution.create_dist(logits).scale
    assert float(np.ptp(scale[0])) > 0
    np.testing.assert_allclose(jnp.broadcast_to(policy.scale, scale.shape), scale, rtol=1e-5, atol=1e-5)


def test_the_shim_is_there_only_while_open():
    before = hasattr(jax, ppo.REPLICATE)
    with ppo.replicate_shim():
        stacked = jax.device_put_replicated({"a": jnp.ones(2)}, jax.devices()[:1])
        assert stacked["a"].shape == (1, 2)
    assert hasattr(jax, ppo.REPLICATE) == before
    with pytest.raises(RuntimeError), ppo.replicate_shim():
        raise RuntimeError
    assert hasattr(jax, ppo.REPLICATE) == before


def test_the_shim_leaves_an_existing_function_alone(monkeypatch):
    def own():
        pass

    monkeypatch.setattr(jax, ppo.REPLICATE, own, raising=False)
    with ppo.replicate_shim():
        assert getattr(jax, ppo.REPLICATE) is own
    assert getattr(jax, ppo.REPLICATE) is own


def test_braxs_two_callbacks_make_snapshots_in_either_order(brax_policy):
    seen = []
    recorder = ppo._Recorder(seen.append, "relu")
    metrics = {"eval/episode_reward": 3.0}
    recorder.evaluated(0, metrics)
    recorder.parameters(0, None, brax_policy[0])
    recorder.parameters(10, None, brax_policy[0])
    recorder.evaluated(10, metrics)
    assert [snapshot.steps for snapshot in recorder.snapshots] == [0, 10]
    assert seen == recorder.snapshots


def test_agents_survive_a_round_trip_and_equal_saves_are_equal_bytes(tmp_path, policy):
    first, second = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    save_agent(first, policy)
    save_agent(second, policy)
    assert first.read_bytes() == second.read_bytes()
    loaded = load_agent(first)
    assert jax.tree.structure(loaded) == jax.tree.structure(policy)
    jax.tree.map(np.testing.assert_array_equal, loaded, policy)


@pytest.mark.parametrize("content", [b"", b"not a file of tensors", b"\xff" * 64])
def test_damaged_agents_are_refused_in_one_sentence(tmp_path, content):
    path = tmp_path / "agent.safetensors"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"agent\.safetensors is not a safetensors file, or is damaged") as refusal:
        load_agent(path)
    assert "\n" not in str(refusal.value)


def test_arrays_that_are_not_contiguous_are_saved_as_they_read(tmp_path, policy):
    turned = jax.tree.map(lambda leaf: np.asfortranarray(leaf), policy)
    assert not turned.layers[0].kernel.flags.c_contiguous
    save_agent(tmp_path / "agent.safetensors", turned)
    jax.tree.map(np.testing.assert_array_equal, load_agent(tmp_path / "agent.safetensors"), policy)


def test_a_truncated_agent_is_refused(tmp_path, policy):
    path = tmp_path / "agent.safetensors"
    save_agent(path, policy)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(ValueError, match="damaged"):
        load_agent(path)


def test_foreign_and_missing_agents_are_refused(tmp_path, policy):
    path = tmp_path / "agent.safetensors"
    with pytest.raises(ValueError, match="cannot be read"):
        load_agent(path)
    path.write_bytes(agents.safetensors.numpy.save({"weights": np.ones(3)}))
    with pytest.raises(ValueError, match="holds no agent: its tensors are weights"):
        load_agent(path)
    save_agent(path, dataclasses.replace(policy, raw_scale=jnp.zeros(7)))
    with pytest.raises(ValueError, match="do not fit together"):
        load_agent(path)
    save_agent(path, dataclasses.replace(policy, raw_scale=jnp.full(ACTION, jnp.nan)))
    with pytest.raises(ValueError, match="not finite"):
        load_agent(path)
    save_agent(path, dataclasses.replace(policy, observation_std=policy.observation_std * 0))
    with pytest.raises(ValueError, match="deviations are not positive"):
        load_agent(path)
    halves = {name: leaf.astype(np.float16) for name, leaf in agents.safetensors.numpy.load(path.read_bytes()).items()}
    path.write_bytes(agents.safetensors.numpy.save(halves))
    with pytest.raises(ValueError, match="its tensors are float16, not float32"):
        load_agent(path)


def test_a_pair_of_agents_loads_and_stacks(bundle):
    _, card, saved = bundle
    pair = load_agents("hopper")
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *pair)
    assert stacked.raw_scale.shape == (2, ACTION)
    jax.tree.map(np.testing.assert_array_equal, pair, saved)
    assert load_card("hopper").model_copy(update={"sha256": {}}) == card
    assert "return" in json.loads((bundle[0] / "card.json").read_text())["original"]["sampled"]


def test_pairs_that_do_not_belong_together_are_refused(bundle, policy):
    save_agent(
        bundle[0] / "target.safetensors",
        dataclasses.replace(
            policy, layers=policy.layers[1:], observation_mean=jnp.zeros(64), observation_std=jnp.ones(64)
        ),
    )
    with pytest.raises(ValueError, match=r"target\.safetensors does not match the hash in card\.json"):
        load_agents("hopper")
    path = bundle[0] / "card.json"
    path.write_text(
        json.dumps({name: value for name, value in json.loads(path.read_text()).items() if name != "sha256"})
    )
    with pytest.raises(ValueError, match="different networks"):
        load_agents("hopper")


def test_bad_cards_are_refused(bundle):
    path = bundle[0] / "card.json"
    good = json.loads(path.read_text())
    for bad, message in (
        (good | {"schema_version": 2}, "has schema version 2, this mpo reads 1"),
        (good | {"activation": "rellu"}, "unknown activation 'rellu': did you mean 'relu'"),
        (good | {"bin_width": 0}, "bin_width"),
        (good | {"original": good["original"] | {"sampled": {"return": float("nan")}}}, "original.sampled.return"),
        (good | {"task": "ant"}, "card of task 'ant'"),
        ({key: value for key, value in good.items() if key != "horizon"}, "horizon"),
    ):
        path.write_text(json.dumps(bad))
        with pytest.raises(ValueError, match=message):
            load_card("hopper")
    path.write_text("{")
    with pytest.raises(ValueError, match="is not an agents' card"):
        load_card("hopper")


def test_missing_agents_say_how_to_make_them(tmp_path, monkeypatch):
    monkeypatch.setattr("mpo_experiments.agents.lookup.BUNDLED", tmp_path)
    monkeypatch.delenv(AGENTS_DIR_VARIABLE, raising=False)
    with pytest.raises(ValueError, match="mpo agents train --task ant"):
        load_agents("ant")
    with pytest.raises(ValueError, match="halfcheetah"):
        load_agents("halfcheeta")


def test_the_original_is_a_third_of_the_way_and_before_the_target():
    assert choose({0: 100.0, 10: 200.0, 20: 350.0, 30: 900.0, 40: 340.0}) == (20, 30)
    assert choose({0: 5.0, 10: 1.0}) == (0, 10)


def test_a_late_collapse_is_not_the_original():
    assert choose({0: 0.0, 10: 200.0, 20: 500.0, 30: 310.0, 40: 1000.0}) == (10, 40)


def test_below_zero_there_is_no_way_to_the_target():
    assert choose({0: -1000.0, 10: 0.0, 20: 280.0, 30: 900.0}) == (20, 30)
    assert choose({0: -1000.0, 10: -800.0, 20: -700.0, 30: -100.0}) == (20, 30)


def test_short_runs_have_fewer_snapshots():
    assert settings_for("hopper").evaluations == task_spec("hopper").recipe.evaluations
    assert settings_for("hopper", steps=10, seed=3) == dataclasses.replace(
        task_spec("hopper").recipe, steps=10, seed=3, evaluations=1
    )


def test_measuring_shares_start_states_and_separates_modes():
    kernel = jnp.zeros((3, 2))
    still = GaussianPolicy(jnp.zeros(3), jnp.ones(3), (agents.Layer(kernel, jnp.zeros(2)),), jnp.full(2, -1.0))
    goal = dataclasses.replace(still, layers=(agents.Layer(kernel.at[0].set(-1.0), jnp.ones(2)),))
    original, target = measure(ToyTask(), (still, goal), episodes=16)
    assert target["mode"].return_ > original["mode"].return_ + 100
    assert original["sampled"] != original["mode"]
    assert original["mode"].low < original["mode"].return_ < original["mode"].high
    marks = target["mode"].earlier
    assert sorted(marks) == list(range(50, 1000, 50))
    assert marks[50] > original["mode"].earlier[50]


def test_tokens_of_the_target_lie_below_those_of_the_original():
    kernel = jnp.zeros((3, 2))
    still = GaussianPolicy(jnp.zeros(3), jnp.ones(3), (agents.Layer(kernel, jnp.zeros(2)),), jnp.full(2, -1.0))
    moved = dataclasses.replace(still, layers=(agents.Layer(kernel, jnp.array([0.5, 0.0])),))
    own, target = token_log_probs(ToyTask(), (still, moved))
    entropy = np.log(still.scale * np.sqrt(2 * np.pi) / still.bin_width).mean() + 0.5
    assert own == pytest.approx(-entropy, abs=0.02)  # half a squared deviation a token, on the mean
    moved_by = 0.5 / float(still.scale[0])
    assert own - target == pytest.approx(0.5 * moved_by**2 / 2, abs=0.02)  # in one of two dimensions


def test_a_card_knows_the_returns_up_to_earlier_steps():
    measured = interval(np.array([[1.0, 2.0, 7.0], [3.0, 4.0, 9.0]]))
    assert (measured.return_, measured.earlier) == (8.0, {50: 2.0, 100: 3.0})


def test_a_finished_run_is_not_repeated(tmp_path, monkeypatch, policy):
    trained = []

    def fake_train(task, settings, on_snapshot, start):
        trained.append(settings.seed)
        for steps, return_ in ((0, 0.0), (10, 30.0), (20, 100.0)):
            on_snapshot(ppo.Snapshot(steps, policy, return_))

    monkeypatch.setattr(ppo, "train_ppo", fake_train)
    monkeypatch.setattr(
        "mpo_experiments.agents.training.measure",
        lambda task, pair: [
            {"sampled": interval(np.arange(3.0)[:, None] + at), "mode": interval(np.arange(3.0)[:, None])}
            for at in (0, 90)
        ],
    )
    monkeypatch.setattr("mpo_experiments.agents.training.token_log_probs", lambda task, pair: (-2.0, -3.0))
    settings = settings_for("hopper", steps=20)
    lines = []
    card = train_agents("hopper", settings, tmp_path, lines.append)
    other = {"command": "", "rule": "", "settings": {}, "snapshots": {}, "token_log_prob": -4.0, "date": ""}
    record = OtherRecord(**card.original.model_dump(by_alias=True) | other)
    save_other(
        tmp_path / "hopper", card.model_copy(update={"other": record}), read_agents(tmp_path / "hopper", card)[0]
    )
    assert train_agents("hopper", settings, tmp_path, lines.append).other == record  # the pair is the same again
    (tmp_path / "hopper" / "other.safetensors").unlink()
    save_agents(tmp_path / "hopper", card, read_agents(tmp_path / "hopper", card))
    again = train_agents("hopper", settings, tmp_path, lines.append)
    train_agents("hopper", settings_for("hopper", steps=20, seed=1), tmp_path, lines.append)
    assert trained == [0, 1]
    assert card == again
    assert card.token_log_probs == (-2.0, -3.0)
    assert (card.original.steps, card.target.steps) == (10, 20)
    assert card.command == "mpo agents train --task hopper --steps 20 --seed 0"
    assert not any("too close" in line for line in lines)


@pytest.mark.parametrize("task", [name for task in task_names() for name in (task, *other_pairs(task))])
def test_bundled_agents_belong_to_their_task(task, monkeypatch):
    monkeypatch.delenv(AGENTS_DIR_VARIABLE, raising=False)
    card, recipe = load_card(task), task_spec(task).recipe
    original, target = load_agents(task)[:2]
    words = task_spec(task).of_words
    longest = LONGEST if words else 1000
    assert (card.task, card.backend, card.horizon) == (task, task_spec(task).backend, longest)
    assert words or original.bin_width == target.bin_width == card.bin_width
    for mode in ("sampled", "mode"):
        assert getattr(card.original, mode).episodes >= 256
        assert getattr(card.target, mode).low > getattr(card.original, mode).high
    assert card.settings == json.loads(json.dumps(dataclasses.asdict(recipe if words else settings_for(task))))
