"""Transfer to language models: the models, the suite's faults in the pairs, a small experiment as a whole."""

import csv
import dataclasses
import json
import shutil

import numpy as np
import pytest

pytest.importorskip("trl")  # an optional extra: .ci/run installs it

import torch
from typer.testing import CliRunner

from adapters.torch.small_models import (
    END_ID,
    completions_of,
    copy_of,
    mean_log_probs,
    new_tokenizer,
    threads,
    write,
)
from cli.app import app
from mpo_core.data.specification import parse_data_spec
from mpo_core.seeds import Purpose, Stream
from mpo_experiments.lm_transfer import pairs as transfer_pairs
from mpo_experiments.lm_transfer.pairs import preference_rows
from mpo_experiments.lm_transfer.settings import LEARNING_RATE, TransferSettings, Trial, WorldCard
from mpo_experiments.lm_transfer.trial import Bench
from mpo_experiments.lm_transfer.tuning import objective_search, rate_of, with_settings
from mpo_experiments.lm_transfer.world import load_world, torch_seed
from mpo_experiments.objectives.named import parse_objective, parse_objectives
from mpo_experiments.progress import SilentReporter
from mpo_experiments.reviews.grammar import Writer
from mpo_experiments.tuning.setting_search import Setting
from mpo_experiments.versions import LANGUAGE, versions

GOOD, BAD = "a good film", "a dull film"
ARGUMENTS = (
    "transfer", "--preset", "smoke", "--units", "2", "--tuning-units", "1", "--budget", "2", "--data", "mixed:0.5",
)  # fmt: skip


def invoke(*arguments):
    with threads(1):
        return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(autouse=True)
def one_thread():
    """These models are too small to share among threads."""
    with threads(1):
        yield


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """A file of short reviews of which few are good."""
    generator, writer = np.random.default_rng(0), Writer(most_sentences=3)
    prompts = ["short review of film :", "short review of book :"]
    path = tmp_path_factory.mktemp("corpus") / "reviews.txt"
    path.write_text("\n".join(writer.write(prompt, generator) for prompt in prompts * 400))
    return path


@pytest.fixture(scope="module")
def settings(corpus):
    return TransferSettings(str(corpus), preset="smoke")


@pytest.fixture(scope="module")
def first(tmp_path_factory, corpus):
    """An experiment with two objectives."""
    out = tmp_path_factory.mktemp("transfer")
    found = invoke(*ARGUMENTS, "--corpus", corpus, "--objectives", "sft,dpo", "--out", out)
    assert found.exit_code == 0, found.output
    return found, out


@pytest.fixture
def folder(first, tmp_path):
    """A copy of its folder, to go on from."""
    return shutil.copytree(first[1], tmp_path / "copy")


@pytest.fixture(scope="module")
def world(first, settings):
    return load_world(first[1], settings, SilentReporter())


def test_tokens_come_back_as_text_and_end_where_it_ends():
    texts = [("the story is", " not boring, ça va ."), ("i love", " this film")]
    tokenizer = new_tokenizer(["".join(pair) for pair in texts] * 4, 300)
    found = completions_of(tokenizer, texts, longest=40)
    for (prompt, rest), (asked, tokens) in zip(texts, found, strict=True):
        assert tokens[-1] == END_ID
        assert tokenizer.decode(asked + tokens[:-1]) == prompt + rest
    cut = completions_of(tokenizer, texts, longest=3)
    assert [tokens for _, tokens in cut] == [tokens[:3] for _, tokens in found]


def test_log_probs_are_those_of_the_tokens_alone(world):
    """Of texts of several lengths side by side, against one text at a time and transformers' own loss."""
    texts = completions_of(
        world.tokenizer, [("the story is", " good"), ("i love the", " very charming pace ."), ("it", "")], 12
    )
    together = mean_log_probs(world.original, texts)
    for (asked, tokens), found in zip(texts, together, strict=True):
        labels = torch.tensor([[-100] * len(asked) + tokens])
        loss = world.original(input_ids=torch.tensor([asked + tokens]), labels=labels).loss
        assert -found == pytest.approx(loss.item(), rel=1e-4)


def test_what_a_model_writes_does_not_depend_on_who_is_asked_beside_it(world):
    prompts = ["the story is", "i love", "it has a very"]
    together = write(world.original, world.tokenizer, prompts, 8, seed=None)
    assert together == [write(world.original, world.tokenizer, [one], 8, seed=None)[0] for one in prompts]


def test_no_two_places_of_the_streams_share_a_seed():
    streams = (Stream.TUNING, Stream.REPORTING)
    seeds = [torch_seed(0, stream, unit, purpose) for stream in streams for unit in range(50) for purpose in Purpose]
    assert len(set(seeds)) == len(seeds)


def test_streams_and_units_have_pairs_of_their_own(world):
    def rows(stream, unit):
        return preference_rows(world, parse_data_spec("base"), 16, seed=0, stream=stream, unit=unit)

    found = [rows(stream, unit) for stream in (Stream.TUNING, Stream.REPORTING) for unit in range(2)]
    assert found[0] == rows(Stream.TUNING, 0)
    texts = [{(*chosen, 0, *rejected) for chosen, rejected in pairs_of(one)} for one in found]
    assert all(not texts[one] & texts[other] for one in range(4) for other in range(one))


@pytest.mark.parametrize(
    ("data", "flipped", "mixed"),
    [
        ("base", 0.0, 1.0),
        ("noisy:0.2", 0.2, 1.0),
        ("mixed:0.75", 0.0, 0.25),
        ("pairs:oo=.5,ot=.25,tt=.25", 0.0, 0.25),
    ],
)
def test_pairs_have_the_faults_that_were_asked_for(world, monkeypatch, data, flipped, mixed):
    """With models whose every text tells whose it is."""
    good, bad = (world.tokenizer(text)["input_ids"] for text in (GOOD, BAD))
    monkeypatch.setattr(
        transfer_pairs, "write",
        lambda model, tokenizer, prompts, longest, *, seed: [good if model is world.target else bad] * len(prompts),
    )  # fmt: skip
    rows = preference_rows(world, parse_data_spec(data), 400, seed=0, stream=Stream.REPORTING, unit=0)
    both = [(chosen, rejected) for chosen, rejected in pairs_of(rows) if chosen != rejected]
    assert len(both) == 400 * mixed
    wrong = np.mean([chosen == bad for chosen, _ in both])
    assert wrong == flipped if flipped == 0 else abs(wrong - flipped) < 0.06
    asked = {world.tokenizer.decode(prompt) for prompt in rows["prompt_ids"]}
    assert asked <= set(world.prompts)
    assert not asked & set(world.fresh)


def test_a_texts_length_is_its_tokens(world):
    """With probability 1 the longer of two texts is preferred, whatever it is worth."""
    rows = preference_rows(world, parse_data_spec("noisy_long:1"), 64, seed=0, stream=Stream.REPORTING, unit=0)
    lengths = np.array([[len(one) for one in rows[side]] for side in ("chosen_ids", "rejected_ids")])
    assert (lengths[0] >= lengths[1]).all()
    assert (lengths[0] > lengths[1]).any()


def test_data_of_a_third_model_are_refused(world):
    spec = parse_data_spec("mixed_other:0.5")
    with pytest.raises(ValueError, match="need an `other` model, and language-model experiments have none"):
        preference_rows(world, spec, 8, seed=0, stream=Stream.REPORTING, unit=0)
    found = CliRunner().invoke(app, ["transfer", "--corpus", "any.txt", "--data", "base,mixed_other:0.5"])
    assert (found.exit_code, "need an `other` model" in found.stderr) == (2, True)


def test_the_judge_sees_the_true_reward(world):
    rows = preference_rows(world, parse_data_spec("mixed:0.5"), 32, seed=0, stream=Stream.REPORTING, unit=0)
    prompts = world.tokenizer.batch_decode(rows["prompt_ids"])
    chosen, rejected = (world.reward.worth(prompts, rows[side]).reward for side in ("chosen_ids", "rejected_ids"))
    assert (chosen >= rejected - 1e-6).all()
    assert (chosen > rejected).any()


def test_the_reader_likes_texts_of_the_corpus_and_no_heap_of_words(world):
    _, heap = completions_of(world.tokenizer, [("i love the", " good good zz good good zz !")], 40)[0]
    ((_, text),) = completions_of(world.tokenizer, [("i love the", " story .")], 40)
    worth = world.reward.worth(["i love the"] * 2, [text, heap])
    assert worth.unlikely[1] > worth.unlikely[0] + 0.3
    assert worth.repetition[1] > worth.repetition[0] == 0


def test_settings_are_the_published_ones_and_then_drawn_with_a_learning_rate():
    def drawn(text, **more):
        return objective_search(parse_objective(text), tokens=20.0, epochs=6, seed=0, **more).draw(8)

    search = objective_search(parse_objective("dpo"), tokens=20.0, epochs=6, seed=0)
    assert (search.default.values, rate_of(search.default), search.default.sft_epochs) == ({}, LEARNING_RATE, 5)
    assert [sorted(one.values) for one in drawn("dpo")] == [["beta"]] * 8
    assert all(LEARNING_RATE / 10 <= rate_of(one) <= LEARNING_RATE * 10 for one in drawn("dpo"))
    assert len({rate_of(one) for one in drawn("dpo")}) > 2
    assert drawn("dpo") == drawn("dpo")
    assert [one.values for one in drawn("sft") + drawn("dpo:beta=0.3")] == [{}] * 16
    assert str(with_settings(parse_objective("dpo"), Setting({"beta": 0.25}, 5))) == "dpo:beta=0.25"


def test_objectives_joined_by_commas():
    found = parse_objectives("dpo:beta=0.1,tempo:beta=1,lam=2,orpo")
    assert [str(one) for one in found] == ["dpo:beta=0.1", "tempo:beta=1,lam=2", "orpo"]


def test_a_copy_of_a_trained_model_trains_its_own_weights(world, settings):
    """TRL leaves a `forward` on the models that it trains, which a deep copy would keep."""
    bench = Bench(world, settings)
    trial = Trial("base", parse_objective("dpo"), 0, 1e-2, Stream.TUNING, 0)
    bench._move_to(trial)
    trained = copy_of(world.original)
    bench._train(trained, trial, parse_objective("sft"), 1)
    before = {name: weight.clone() for name, weight in trained.state_dict().items()}
    again = copy_of(trained)
    bench._train(again, trial, parse_objective("sft"), 1)
    assert all(torch.equal(weight, before[name]) for name, weight in trained.state_dict().items())
    assert not any(torch.equal(weight, before[name]) for name, weight in again.state_dict().items())


def test_what_a_table_holds(first):
    found, out = first
    text = (out / "results.md").read_text()
    assert "### mixed:0.5: 2 units" in text
    assert all(
        column in text for column in ("sentiment", "minus sft", "unlikely", "learning rate", "inner.learning_rate")
    )
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
        ends = [card.normalised(getattr(texts, kind), kind) for texts in (card.original, card.target)]
        assert ends == [0.0, 1.0]
    worse = card.model_dump() | {"target": card.original}
    with pytest.raises(ValueError, match="no more than the original"):
        WorldCard.model_validate(worse)


def test_another_objective_runs_no_trial_again(folder, corpus, monkeypatch):
    before = len(list((folder / "trials").rglob("*.json")))
    ran = count_trials(monkeypatch)
    found = invoke(
        *ARGUMENTS, "--corpus", corpus, "--objectives", "sft,dpo,orpo", "--out", folder, "--suite", suite(folder)
    )
    assert found.exit_code == 0, found.output
    assert any(str(trial.objective).startswith("orpo") for trial in ran)
    assert len(list((folder / "trials").rglob("*.json"))) == before + len(ran)
    assert "| orpo |" in (folder / "results.md").read_text()


def test_a_discovered_objective_is_known_by_what_it_holds(folder, corpus, monkeypatch):
    path = "discovered/hopper-noisy20-static"
    arguments = (*ARGUMENTS, "--corpus", corpus, "--objectives", f"sft,dpo,{path}", "--out", folder)
    ran = count_trials(monkeypatch)
    found = invoke(*arguments)
    assert found.exit_code == 0, found.output
    assert any(str(trial.objective) == path for trial in ran)
    (cell,) = json.loads((folder / "summary.json").read_text())["cells"]
    assert {one["objective"] for one in cell["standings"]} == {"sft", "dpo", path}
    before = len(ran)
    assert invoke(*arguments).exit_code == 0
    assert len(ran) == before


@pytest.mark.parametrize("change", ["seed", "corpus"])
def test_models_that_were_begun_otherwise_are_refused(first, tmp_path, corpus, settings, change):
    """As an interrupted start leaves them: one model is made, there is no card."""
    shutil.copytree(first[1] / "world" / "original", tmp_path / "world" / "original")
    shutil.copy(first[1] / "world" / "begun.json", tmp_path / "world")
    other = tmp_path / "other.txt"
    other.write_text(corpus.read_text() + "\nthe film is good .")
    asked = {"seed": {"seed": 7}, "corpus": {"corpus": str(other)}}[change]
    with pytest.raises(ValueError, match="world: were begun with another preset, seed or corpus; choose another"):
        load_world(tmp_path, dataclasses.replace(settings, **asked), SilentReporter())


def test_models_go_on_where_an_interrupted_start_left_them(first, world, tmp_path, settings):
    """One model is made, another was being written."""
    made = first[1] / "world"
    for name in ("original", "reader"):
        shutil.copytree(made / name, tmp_path / "world" / name)
    shutil.copy(made / "begun.json", tmp_path / "world")
    shutil.copytree(made / "target", tmp_path / "world" / ".target")
    (tmp_path / "world" / ".target" / "model.safetensors").write_bytes(b"half")
    assert (
        load_world(tmp_path, settings, SilentReporter()).card == load_world(first[1], settings, SilentReporter()).card
    )
    assert {path.name for path in (tmp_path / "world").iterdir()} == {path.name for path in made.iterdir()}


def test_an_interrupted_experiment_goes_on_and_ends_alike(first, folder, corpus, monkeypatch):
    trials = sorted((folder / "trials").rglob("*reporting*.json"))
    lost = trials[0].read_text()
    trials[0].unlink()
    monkeypatch.setattr(Bench, "run", interrupt)
    assert invoke(*ARGUMENTS, "--corpus", corpus, "--objectives", "sft,dpo", "--out", folder).exit_code == 130
    monkeypatch.undo()
    ran = count_trials(monkeypatch)
    found = invoke(*ARGUMENTS, "--corpus", corpus, "--objectives", "sft,dpo", "--out", folder)
    assert found.exit_code == 0, found.output
    assert len(ran) == 1
    again, before = json.loads(trials[0].read_text()), json.loads(lost)
    assert {**again, "seconds": 0, "sha256": 0} == {**before, "seconds": 0, "sha256": 0}
    assert (folder / "scores.csv").read_text() == (first[1] / "scores.csv").read_text()


def test_nothing_is_added_to_models_of_other_versions(first, folder, corpus, monkeypatch):
    arguments = (*ARGUMENTS, "--corpus", corpus, "--objectives", "sft,dpo", "--out", folder)
    ran, here = count_trials(monkeypatch), versions(LANGUAGE)
    monkeypatch.setattr("mpo_experiments.lm_transfer.run.versions", lambda packages: here | {"torch": "9.9"})
    assert invoke(*arguments).exit_code == 0  # nothing is missing
    next((folder / "trials").rglob("*reporting*.json")).unlink()
    refused = invoke(*arguments)
    assert refused.exit_code == 2, refused.output
    assert f"were made with torch {here['torch']}, and here is 9.9, so nothing can be added" in refused.stderr
    assert not ran


def test_tables_of_what_is_finished_take_neither_models_nor_corpus(folder, monkeypatch):
    ran = count_trials(monkeypatch)
    for role in ("original", "target", "reader"):
        shutil.rmtree(folder / "world" / role)
    more = ("--data", "mixed:0.5,base", "--objectives", "sft,dpo", "--out", folder)
    found = invoke(*ARGUMENTS, "--corpus", "gone.txt", *more, "--only-tables")
    assert found.exit_code == 0, found.output
    assert not ran
    assert "base" not in (folder / "scores.csv").read_text()


def test_a_corpus_whose_texts_begin_alike_has_no_prompts(tmp_path):
    path = tmp_path / "alike.txt"
    path.write_text("\n".join(f"it is so very word{number}" for number in range(200)))
    found = invoke(*ARGUMENTS, "--corpus", path, "--objectives", "sft,dpo", "--out", tmp_path / "out")
    assert (found.exit_code, "its texts begin alike" in found.stderr) == (2, True)


def test_models_of_another_corpus_are_refused(folder, corpus, tmp_path):
    other = tmp_path / "other.txt"
    other.write_text(corpus.read_text() + "\nthis is one more text of words .")
    found = invoke(*ARGUMENTS, "--corpus", other, "--objectives", "sft,dpo", "--out", folder)
    assert (found.exit_code, "are of another corpus" in found.stderr) == (2, True)


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
        (("--suite", "other.json"), "other.json: is not the summary.json of mpo benchmark"),
        (("--corpus", "nowhere.txt"), "corpus nowhere.txt"),
        (("--seed", "1"), "of another preset or seed"),
    ],
)
def test_mistakes_get_one_sentence(first, corpus, arguments, says, tmp_path, monkeypatch):
    (tmp_path / "other.json").write_text('{"cells": [{}]}')
    monkeypatch.chdir(tmp_path)
    found = invoke(*ARGUMENTS, "--corpus", corpus, *arguments, "--out", first[1])
    assert (found.exit_code, found.stdout) == (2, "")
    assert says in found.stderr
    assert len(found.stderr.strip().splitlines()) == 1


def test_without_the_extra(monkeypatch, tmp_path):
    monkeypatch.setattr("cli.validation.importlib.util.find_spec", lambda name: None)
    found = invoke(*ARGUMENTS, "--corpus", "any.txt", "--out", tmp_path / "none")
    assert found.exit_code == 2
    assert "needs the extra llm" in found.stderr
    assert not (tmp_path / "none").exists()


def pairs_of(rows):
    """Tokens of the chosen and of the rejected text."""
    return list(zip(rows["chosen_ids"], rows["rejected_ids"], strict=True))


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
