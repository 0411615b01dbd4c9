"""Transfer to language models: the reward's truth, the suite's faults in the pairs, a small experiment as a whole."""

import csv
import json
import shutil

import numpy as np
import pytest

pytest.importorskip("trl")  # an optional extra: .ci/run installs it

import torch
from typer.testing import CliRunner

from cli.app import app
from mpo_core.data.specification import parse_data_spec
from mpo_core.losses.catalogue import catalogue_entry
from mpo_core.seeds import Purpose, Stream
from mpo_experiments.lm_transfer import pairs as transfer_pairs
from mpo_experiments.lm_transfer.models import END_ID, LONGEST, copy_of, sample, threads, word_tokenizer
from mpo_experiments.lm_transfer.pairs import preference_rows
from mpo_experiments.lm_transfer.settings import LEARNING_RATES, TransferSettings, Trial, WorldCard
from mpo_experiments.lm_transfer.trial import Bench
from mpo_experiments.lm_transfer.tuning import candidates
from mpo_experiments.lm_transfer.world import load_world, torch_seed
from mpo_experiments.objectives.named import parse_objective, parse_objectives
from mpo_experiments.progress import SilentReporter
from mpo_experiments.reviews.grammar import PROMPTS, VOCABULARY, WORDS_WANTED, Writer, best_of, reward

SHORT, LONG = "short review of film :", "long review of film :"
GOOD, BAD = "the story is good .", "the story is bad ."
ARGUMENTS = (
    "transfer", "--preset", "smoke", "--units", "2", "--tuning-units", "1", "--budget", "2", "--data", "mixed:0.5",
)  # fmt: skip
SETTINGS = TransferSettings(preset="smoke")


def invoke(*arguments):
    with threads(1):
        return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(autouse=True)
def one_thread():
    """These models are too small to share among threads."""
    with threads(1):
        yield


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    """An experiment with two objectives."""
    out = tmp_path_factory.mktemp("transfer")
    found = invoke(*ARGUMENTS, "--objectives", "sft,dpo", "--out", out)
    assert found.exit_code == 0, found.output
    return found, out


@pytest.fixture
def folder(first, tmp_path):
    """A copy of its folder, to go on from."""
    return shutil.copytree(first[1], tmp_path / "copy")


@pytest.fixture(scope="module")
def world(first):
    return load_world(first[1], SETTINGS, SilentReporter())


@pytest.mark.parametrize(
    ("prompt", "text", "worth"),
    [
        (SHORT, "the story is good . the pace is very warm .", 2 - 0.25),
        (SHORT, "i love this film . this film is great .", 2 + 1 - 0.5),  # the topic counts once
        (SHORT, "i love this film . i love this film .", 1 + 1 - 0.5),  # and so does a word
        (SHORT, "i love this book . this book is great .", 2 - 0.5),
        (SHORT, "the story is not good . the pace is new .", -1 - 0.5 + 0.25),
        (SHORT, "the story is not bad . i hate the pace .", 1 - 1 - 0.25),
        (SHORT, "the story is good . good good good .", 1 - 1 - 0.25 * 3),  # a heap of good words is no sentence
        (SHORT, "the story is good . the pace is", 1 - 1 - 0.25 * 4),
        (SHORT, "", -3.0),
        (LONG, "", -6.0),
    ],
)
def test_the_reward_of_known_reviews(prompt, text, worth):
    assert reward(prompt, text) == pytest.approx(worth)


def test_writers_write_well_formed_reviews_of_known_words():
    generator = np.random.default_rng(0)
    for prompt in PROMPTS * 4:
        text = Writer(moods=(0.0, 0.0, 1.0)).write(prompt, generator)
        named = prompt.split()[-2] in text.split()
        expected = float(named) - 0.25 * abs(len(text.split()) - WORDS_WANTED[prompt.split()[0]])
        assert reward(prompt, text) == pytest.approx(expected)
        assert {*prompt.split(), *text.split()} <= set(VOCABULARY)
        assert len(text.split()) < LONGEST


def test_the_best_of_many_is_better():
    generator = np.random.default_rng(0)
    one, many = ([reward(SHORT, best_of(Writer(), SHORT, tries, generator)) for _ in range(40)] for tries in (1, 8))
    assert np.mean(many) > np.mean(one) + 2


def test_a_word_is_a_token_and_comes_back():
    tokenizer = word_tokenizer()
    text = "the story is not boring . i love this film ."
    tokens = tokenizer(f"{SHORT} {text}</s>")["input_ids"]
    assert len(tokens) == len(SHORT.split()) + len(text.split()) + 1
    assert tokens[-1] == END_ID
    assert tokenizer.decode(tokens[5:-1]) == text


def test_no_two_places_of_the_streams_share_a_seed():
    streams = (Stream.TUNING, Stream.REPORTING)
    seeds = [torch_seed(0, stream, unit, purpose) for stream in streams for unit in range(50) for purpose in Purpose]
    assert len(set(seeds)) == len(seeds)


def test_streams_and_units_have_pairs_of_their_own(world):
    def rows(stream, unit):
        return preference_rows(world, parse_data_spec("base"), 16, seed=0, stream=stream, unit=unit)

    found = [rows(stream, unit) for stream in (Stream.TUNING, Stream.REPORTING) for unit in range(2)]
    assert found[0] == rows(Stream.TUNING, 0)
    texts = [frozenset(row["chosen"] + row["rejected"] for row in one) for one in found]
    assert all(not texts[one] & texts[other] for one in range(4) for other in range(one))


@pytest.mark.parametrize(
    ("data", "flipped", "mixed"),
    [("base", 0.0, 1.0), ("noisy:0.2", 0.2, 1.0), ("mixed:0.75", 0.0, 0.25), ("pairs:oo=.5,ot=.25,tt=.25", 0.0, 0.25)],
)
def test_pairs_have_the_faults_that_were_asked_for(world, monkeypatch, data, flipped, mixed):
    """With models whose every review tells whose it is."""
    monkeypatch.setattr(
        transfer_pairs, "sample",
        lambda model, tokenizer, prompts, *, seed: [GOOD if model is world.target else BAD] * len(prompts),
    )  # fmt: skip
    rows = preference_rows(world, parse_data_spec(data), 400, seed=0, stream=Stream.REPORTING, unit=0)
    both = [row for row in rows if row["chosen"] != row["rejected"]]
    assert len(both) == 400 * mixed
    wrong = np.mean([row["chosen"].strip() == BAD for row in both])
    assert wrong == flipped if flipped == 0 else abs(wrong - flipped) < 0.06
    counts = {prompt: sum(row["prompt"] == prompt for row in rows) for prompt in PROMPTS}
    assert set(counts.values()) == {25}


def test_the_judge_sees_the_true_reward(world):
    rows = preference_rows(world, parse_data_spec("mixed:0.5"), 32, seed=0, stream=Stream.REPORTING, unit=0)
    assert all(reward(row["prompt"], row["chosen"]) >= reward(row["prompt"], row["rejected"]) for row in rows)


def test_candidates_are_the_learning_rates_and_then_random_settings():
    found = candidates(parse_objective("dpo"), 5, 20.0, seed=0)
    assert [str(one.objective) for one in found[:3]] == ["dpo"] * 3
    assert [one.learning_rate for one in found] == [*LEARNING_RATES, *LEARNING_RATES[:2]]
    (range_,) = catalogue_entry("dpo").tuning
    betas = [one.settings["beta"] for one in found[3:]]
    assert all(range_.low * 5 <= beta <= range_.high * 5 for beta in betas)  # a sum over a fifth of the tokens
    assert len(set(betas)) == 2
    assert candidates(parse_objective("dpo"), 5, 20.0, seed=0) == found
    assert (
        len(candidates(parse_objective("sft"), 5, 20.0, seed=0))
        == len(candidates(parse_objective("dpo:beta=0.3"), 5, 20.0, seed=0))
        == 3
    )


def test_objectives_joined_by_commas():
    found = parse_objectives("dpo:beta=0.1,tempo:beta=1,lam=2,orpo")
    assert [str(one) for one in found] == ["dpo:beta=0.1", "tempo:beta=1,lam=2", "orpo"]


def test_a_copy_of_a_trained_model_trains_its_own_weights(world):
    """TRL leaves a `forward` on the models that it trains, which a deep copy would keep."""
    bench = Bench(world, SETTINGS)
    trial = Trial("base", parse_objective("dpo"), 1e-2, Stream.TUNING, 0)
    bench._move_to(trial)
    trained = copy_of(world.original)
    bench._train(trained, trial, parse_objective("sft"), 1)
    before = {name: weight.clone() for name, weight in trained.state_dict().items()}
    again = copy_of(trained)
    bench._train(again, trial, parse_objective("sft"), 1)
    assert all(torch.equal(weight, before[name]) for name, weight in trained.state_dict().items())
    assert not any(torch.equal(weight, before[name]) for name, weight in again.state_dict().items())


def test_the_likeliest_words_need_no_seed(world):
    assert sample(world.target, world.tokenizer, PROMPTS, seed=None) == sample(
        world.target, world.tokenizer, PROMPTS, seed=None
    )


def test_what_a_table_holds(first):
    found, out = first
    text = (out / "results.md").read_text()
    assert "### mixed:0.5: 2 units" in text
    assert all(column in text for column in ("P(> sft)", "minus sft", "ended", "learning_rate="))
    assert max(map(len, found.stdout.split("Again:")[0].splitlines())) <= 80
    rows = list(csv.DictReader((out / "scores.csv").open()))
    assert [(row["objective"], row["unit"]) for row in rows] == [
        ("sft", "0"), ("sft", "1"), ("dpo", "0"), ("dpo", "1"),
    ]  # fmt: skip
    (cell,) = json.loads((out / "summary.json").read_text())["cells"]
    by_id = {one["objective"]: one for one in cell["standings"]}
    assert (by_id["dpo"]["sft_epochs"], by_id["sft"]["sft_epochs"]) == (2, 0)
    scores = {id: [float(row["sampled"]) for row in rows if row["objective"] == id] for id in by_id}
    assert by_id["dpo"]["minus_sft"]["estimate"] == pytest.approx(np.mean(scores["dpo"]) - np.mean(scores["sft"]))
    assert (out / "ranking.png").read_bytes().startswith(b"\x89PNG")


def test_scores_are_between_the_two_models_by_construction(world):
    card = world.card
    for kind in ("sampled", "mode"):
        assert (card.normalised(card.original[kind], kind), card.normalised(card.target[kind], kind)) == (0.0, 1.0)
    worse = card.model_dump() | {"target": card.original}
    with pytest.raises(ValueError, match="no more than the original"):
        WorldCard.model_validate(worse)


def test_another_objective_runs_its_own_trials_alone(folder, monkeypatch):
    ran = count_trials(monkeypatch)
    found = invoke(*ARGUMENTS, "--objectives", "sft,dpo,orpo", "--out", folder, "--suite", suite(folder))
    assert found.exit_code == 0, found.output
    assert {str(trial.objective) for trial in ran} == {"orpo"}
    assert len(ran) == 2 + 2  # two candidates on one unit, the better one on two
    assert "| orpo |" in (folder / "results.md").read_text()


def test_an_interrupted_experiment_goes_on_and_ends_alike(first, folder, monkeypatch):
    trials = sorted((folder / "trials").rglob("*reporting*.json"))
    lost = trials[0].read_text()
    trials[0].unlink()
    monkeypatch.setattr(Bench, "run", interrupt)
    assert invoke(*ARGUMENTS, "--objectives", "sft,dpo", "--out", folder).exit_code == 130
    monkeypatch.undo()
    ran = count_trials(monkeypatch)
    found = invoke(*ARGUMENTS, "--objectives", "sft,dpo", "--out", folder)
    assert found.exit_code == 0, found.output
    assert len(ran) == 1
    again, before = json.loads(trials[0].read_text()), json.loads(lost)
    assert {**again, "seconds": 0, "sha256": 0} == {**before, "seconds": 0, "sha256": 0}
    assert (folder / "scores.csv").read_text() == (first[1] / "scores.csv").read_text()


def test_tables_of_what_is_finished_alone(folder, monkeypatch):
    ran = count_trials(monkeypatch)
    found = invoke(*ARGUMENTS, "--data", "base", "--objectives", "sft,dpo", "--out", folder, "--only-tables")
    assert found.exit_code == 0, found.output
    assert not ran
    assert "base" not in (folder / "scores.csv").read_text()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--objectives", "dpq"), "unknown objective 'dpq'"),
        (("--objectives", "beta_dpo"), "keeps a state"),
        (("--objectives", "mmpo"), "reads margins"),
        (("--objectives", "sft,sft"), "twice"),
        (("--preset", "huge"), "unknown preset 'huge'"),
        (("--data", "noisy:2"), "share between 0 and 1"),
        (("--suite", "nowhere.json"), "nowhere.json"),
        (("--seed", "1"), "of another preset or seed"),
    ],
)
def test_mistakes_get_one_sentence(first, arguments, says):
    found = invoke(*ARGUMENTS, *arguments, "--out", first[1])
    assert (found.exit_code, found.stdout) == (2, "")
    assert says in found.stderr
    assert len(found.stderr.strip().splitlines()) == 1


def test_without_the_extra(monkeypatch, tmp_path):
    monkeypatch.setattr("cli.transfer.importlib.util.find_spec", lambda name: None)
    found = invoke(*ARGUMENTS, "--out", tmp_path / "none")
    assert found.exit_code == 2
    assert "needs the extra llm" in found.stderr
    assert not (tmp_path / "none").exists()


def count_trials(monkeypatch):
    """The trials that are run from here on."""
    ran, run = [], Bench.run
    monkeypatch.setattr(Bench, "run", lambda bench, trial: ran.append(trial) or run(bench, trial))
    return ran


def interrupt(bench, trial):
    raise KeyboardInterrupt


def suite(folder):
    """A benchmark's summary with too few objectives to compare with: the table is empty, and that is no error."""
    standing = {"objective": "sft", "sampled": {"estimate": 0.5}}
    path = folder / "suite.json"
    path.write_text(json.dumps({"cells": [{"task": "ant", "data": "mixed:0.5", "standings": [standing]}]}))
    return path
