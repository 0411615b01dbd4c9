"""Writing a review as a task."""

import dataclasses
import json
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adapters.storage.agent_files import load_agent, read_agents, read_agents_card
from helpers.command_line import invoke
from mpo_experiments.agents import language
from mpo_experiments.agents.language import language_settings, train_language_agents
from mpo_experiments.agents.lookup import agents_folder, load_agents, load_card
from mpo_experiments.reviews.grammar import LONGEST, PRICE_OF_A_WORD, WORDS_WANTED, reward
from mpo_experiments.reviews.task import PROMPT_LENGTH, ReviewsTask
from mpo_experiments.reviews.token_reward import END_ID, PAD_ID, decode, encode
from mpo_experiments.settings.run_config import build_run
from mpo_experiments.testbed import Testbed

TASKS = ("reviews", "reviews_alike")


def written(task, tokens, key=0):
    """The prompt, and the state after each token."""
    step, state = jax.jit(task.step), task.reset(key=jax.random.key(key))
    prompt = decode(np.asarray(state.observation[:PROMPT_LENGTH], int))
    states = []
    for token in tokens:
        state = step(state, jnp.asarray([token], jnp.float32))
        states.append(state)
    return prompt, states


@pytest.mark.parametrize("text", ["the story is good .", "the story is", "i love this film . i love this film ."])
def test_the_return_is_what_the_review_is_worth_wherever_it_is_cut(text):
    ids = [*encode(text), END_ID]
    prompt, states = written(ReviewsTask("reviews"), ids)
    returns = np.cumsum([state.reward for state in states])
    words = text.split()
    wanted = [reward(prompt, " ".join(words[: place + 1])) for place in range(len(words))]
    np.testing.assert_allclose(returns, [*wanted, wanted[-1]], atol=1e-5)
    assert [float(state.done) for state in states] == [0.0] * len(words) + [1.0]
    assert float(states[0].observation[-1]) == ids[0]


def test_an_empty_review_costs_all_its_words():
    prompt, (state,) = written(ReviewsTask("reviews"), [END_ID])
    assert float(state.reward) == pytest.approx(-PRICE_OF_A_WORD * WORDS_WANTED[prompt.split()[0]])
    assert float(state.done) == 1


def test_no_review_is_longer_than_the_longest():
    _, states = written(ReviewsTask("reviews"), [PAD_ID] * LONGEST)
    assert [float(state.done) for state in states] == [0.0] * (LONGEST - 1) + [1.0]


@pytest.mark.parametrize("name", TASKS)
def test_bundled_models_return_what_their_card_says(name):
    testbed = Testbed(name, length=LONGEST)
    roles = len(load_card(name).roles)
    keys = (jax.random.split(jax.random.key(1), 128), jax.random.split(jax.random.key(2), 128))
    both = tuple(jnp.concatenate([one] * roles) for one in keys)
    returns = testbed.program.returns(testbed.agents, np.repeat(np.arange(roles), 128), both, horizon=LONGEST)
    for role, own in zip(load_card(name).roles, returns.reshape(roles, 128), strict=True):
        measured = getattr(load_card(name), role).sampled
        assert abs(own.mean() - measured.return_) < 4 * own.std() / np.sqrt(128)


def test_the_target_is_unlikely_under_one_original_and_not_under_the_other():
    own, target = load_card("reviews").token_log_probs
    assert target < own - 0.3
    own, target = load_card("reviews_alike").token_log_probs
    assert abs(target - own) < 0.03


def test_models_are_taught_measured_and_read_back(tmp_path, monkeypatch):
    monkeypatch.setattr(language, "EPISODES", 16)
    recipe = language_settings("reviews", steps=3, seed=5)
    short = {role: dataclasses.replace(getattr(recipe, role), texts=32) for role in ("original", "target", "other")}
    recipe, lines = dataclasses.replace(recipe, **short), []
    train_language_agents("reviews", recipe, tmp_path, lines.append)
    card = read_agents_card(tmp_path / "reviews", "reviews")
    assert card.roles == ("original", "target", "other")
    assert (card.original.steps, card.target.steps) == (3, 6)
    assert (len(read_agents(tmp_path / "reviews", card)), len(lines)) == (3, 5)
    train_language_agents("reviews", recipe, tmp_path / "again")
    again = read_agents_card(tmp_path / "again" / "reviews", "reviews")
    assert again.sha256 == card.sha256
    assert len(set(card.sha256.values())) == 3
    (tmp_path / "reviews" / "target.safetensors").write_bytes(b"")
    with pytest.raises(ValueError, match="does not match the hash"):
        read_agents(tmp_path / "reviews", card)


def test_a_language_model_is_no_gaussian_agent():
    with pytest.raises(ValueError, match="holds no agent: its tensors are"):
        load_agent(agents_folder("reviews") / "original.safetensors")


def test_sizes_suit_words():
    for preset in ("smoke", "quick", "paper"):
        config = build_run({"task": "reviews", "preset": preset})
        assert config.rows.length == config.search.horizon == config.report.evaluation.horizon == LONGEST


def test_both_kinds_of_task_are_searched_on_together():
    config = build_run({"task": "reviews,halfcheetah"})
    lengths = {cell.task: cell.rows.length for cell in config.cells()}
    assert lengths == {"reviews": 40, "halfcheetah": 200}


def test_the_third_model_is_not_made_alone():
    found = invoke("agents", "train", "--task", "reviews", "--role", "other")
    assert found.exit_code == 2
    assert "the three models of task 'reviews' are made together" in found.stderr


def test_there_is_nothing_to_film(tmp_path):
    found = invoke("render", "--task", "reviews", "--out", tmp_path / "film.html")
    assert found.exit_code == 2
    assert "no bodies that could be drawn" in found.stderr


def test_tokens_have_no_width():
    found = invoke("benchmark", "--task", "reviews", "--bin-width", "0.2", "--dry-run")
    assert found.exit_code == 2
    assert "the actions of task 'reviews' are tokens already" in found.stderr


@pytest.fixture(scope="module")
def search(tmp_path_factory):
    out = tmp_path_factory.mktemp("runs")
    found = invoke("meta-train", "--task", "reviews", "--preset", "smoke", "--seed", "5", "--out", out)
    (folder,) = out.iterdir()
    return found, folder


def test_a_search_on_words_ends_with_a_table(search):
    found, folder = search
    assert found.exit_code == 0, found.output
    assert "reviews, mixed:0.75: normalised score on 2 fresh units" in found.stdout
    assert json.loads((folder / "report.json").read_text())["schema_version"] == 2


def test_interrupted_and_resumed_it_ends_with_the_same_bytes(search, tmp_path):
    _, folder = search
    copy = tmp_path / folder.name
    shutil.copytree(folder, copy)
    for name in (
        "report.json",
        "report.html",
        "objective.json",
        "objective.safetensors",
        "checkpoints/000002.safetensors",
    ):
        (copy / name).unlink()
    found = invoke("meta-train", "--resume", copy)
    assert found.exit_code == 0, found.output
    for name in ("objective.safetensors", "objective.json"):
        assert (copy / name).read_bytes() == (folder / name).read_bytes()


def test_agents_are_loaded_once_and_of_one_structure():
    shapes = [jax.tree.map(jnp.shape, agent) for agent in load_agents("reviews")]
    assert shapes[0] == shapes[1] == shapes[2]
