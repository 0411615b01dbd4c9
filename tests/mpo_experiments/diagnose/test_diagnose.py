"""`mpo diagnose`: planted faults are found within 0.05, and a clean data set has none."""

import json
import random

import numpy as np
import pytest

pytest.importorskip("trl", reason="the extra llm")

import torch

from helpers.command_line import assert_refused, invoke
from helpers.toy_language import toy_model, toy_tokenizer
from mpo_experiments.diagnose.label_noise import noise_from_duplicates, noise_from_words
from mpo_experiments.diagnose.mixtures import heaps, mirrored_heap
from mpo_experiments.diagnose.model_view import view
from mpo_experiments.diagnose.pairs import Pairs
from mpo_experiments.diagnose.suite import nearest
from mpo_experiments.diagnose.text_faults import Duplicates, duplicates, length_correlation, length_difference, ties

OWN, OTHER, ALIKE = range(10), range(20, 30), range(10, 20)
"""Words: the model writes the first and third kind, the first as often as the third; the second hardly ever."""
FLIPPED, TIED, ROWS = 0.2, 0.1, 600


def text(draw, kind):
    return " ".join(f"w{word}" for word in draw.choices(kind, k=draw.randint(4, 9)))


def planted(flipped, tied, better, worse, rows=ROWS, seed=0):
    """Rows of which exactly these shares are tied and, of the others, flipped."""
    draw, found = random.Random(seed), []
    for row in range(rows):
        prompt, good, bad = text(draw, range(40)), text(draw, better), text(draw, worse)
        if row < tied * rows:
            good = bad
        elif row < tied * rows + flipped * (1 - tied) * rows:
            good, bad = bad, good
        found.append({"prompt": f"{prompt} ", "chosen": good, "rejected": bad})
    draw.shuffle(found)
    return found


def as_pairs(rows):
    return Pairs(*(tuple(row[name] for row in rows) for name in ("prompt", "chosen", "rejected")))


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A toy model that has learned to write the words of the first and third kind."""
    folder = tmp_path_factory.mktemp("models")
    tokenizer, model = toy_tokenizer(), toy_model()
    optimiser, draw = torch.optim.Adam(model.parameters(), 1e-2), random.Random(7)
    for _ in range(150):
        texts = [f"{text(draw, range(40))} {text(draw, [*OWN, *ALIKE])} </s>" for _ in range(32)]
        batch = tokenizer(texts, return_tensors="pt", padding=True, return_token_type_ids=False)
        labels = batch["input_ids"].masked_fill(batch["attention_mask"] == 0, -100)
        for row, words in enumerate(texts):  # the prompt is anything
            labels[row, : len(words.split()) - len(words.split()) // 2] = -100
        optimiser.zero_grad()
        model(**batch, labels=labels).loss.backward()
        optimiser.step()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def diagnosed(tmp_path, model, rows, *more):
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    under = () if model is None else ("--model", model, "--batch", 64)
    done = invoke("diagnose", "--dataset", path, *under, "--json", *more)
    assert done.exit_code == 0, done.stderr
    return json.loads(done.stdout)


def test_planted_faults_are_found_within_005(tmp_path, model):
    page = tmp_path / "page.html"
    told = diagnosed(tmp_path, model, planted(FLIPPED, TIED, OTHER, OWN), "--out", page)
    assert told["ties"] == pytest.approx(TIED, abs=0.05)
    noise = {one["by"]: one for one in told["label_noise"]}
    assert set(noise) == {"margins of the wrong sign", "words"}
    for one in noise.values():
        assert one["found"]
        assert one["share"] == pytest.approx(FLIPPED, abs=0.05)
    assert told["model"]["heaps"]["shares"] == pytest.approx([0.5, 0.5], abs=0.05)
    own, wanted = told["model"]["heaps"]["means"]
    assert told["model"]["rejected"] == pytest.approx(own + FLIPPED * (wanted - own), abs=0.05 * (own - wanted))
    assert told["model"]["both_own"] == pytest.approx(0, abs=0.05)
    assert told["suite"]["data"] == "noisy:0.2"
    assert any("mpo reframe" in remark for remark in told["remarks"])
    html = page.read_text()
    assert "data:image/png;base64" in html
    assert "In the suite" in html
    assert "http" not in html.replace("http-equiv", "")


def test_clean_data_have_none(tmp_path, model):
    told = diagnosed(tmp_path, model, planted(0, 0, ALIKE, OWN))
    assert told["ties"] == 0
    assert told["near_duplicates"]["rows"] == 0
    assert not any(one["found"] for one in told["label_noise"])
    assert len(told["model"]["heaps"]["means"]) == 1
    assert told["dropped"] == told["cut"] == 0
    assert told["suite"]["data"] == "base"
    assert told["remarks"] == ["Nothing stands out."]


def test_few_pairs_are_said_to_tell_nothing_of_labels(tmp_path):
    rows = [{"prompt": f"p{at}", "chosen": f"good {at}", "rejected": f"a longer bad {at}"} for at in range(64)]
    told = diagnosed(tmp_path, None, rows)
    assert told["label_noise"] == []
    assert "whether any are flipped was not estimated (fewer than 100 pairs" in " ".join(told["remarks"])
    assert "Nothing stands out." not in told["remarks"]
    few = diagnosed(tmp_path, None, rows[:3])
    assert not any("Length" in remark for remark in few["remarks"])  # any correlation is strong in so few


def test_pairs_of_the_models_own_texts_are_counted(tmp_path, model):
    rows = planted(0, 0, OTHER, OWN, 200) + planted(0, 0, ALIKE, OWN, 600, seed=1)
    told = diagnosed(tmp_path, model, rows)
    assert told["model"]["both_own"] == pytest.approx(0.75, abs=0.05)
    assert told["suite"]["data"] == "mixed:0.75"


def test_prompts_that_are_too_long_are_counted(tmp_path, model):
    rows = planted(0, 0, OTHER, OWN, 100)
    for row in rows[:20]:
        row["prompt"] = f"{' '.join(['w1'] * 40)} "
    told = diagnosed(tmp_path, model, rows, "--max-length", 30)
    assert told["dropped"] == pytest.approx(0.2)


@pytest.mark.parametrize("flipped", [0.0, 0.1, 0.2, 0.35])
def test_noise_from_words(flipped):
    found = noise_from_words(as_pairs(planted(flipped, 0, OTHER, OWN, 1000)))
    assert found.share == pytest.approx(flipped, abs=0.05)
    assert found.found == (flipped > 0)
    assert not found.bound


def test_words_that_tell_nothing_are_no_evidence_of_noise():
    found = noise_from_words(as_pairs(planted(0, 0, OWN, OWN, 1000)))
    assert found.bound
    assert not found.found
    assert noise_from_words(as_pairs(planted(0, 0, OWN, OWN, 20))) is None


def test_noise_from_contradictions():
    draw = np.random.default_rng(1)
    flips = draw.random((5000, 2)) < 0.2
    found = noise_from_duplicates(Duplicates(10_000, 5000, int((flips[:, 0] != flips[:, 1]).sum())))
    assert found.share == pytest.approx(0.2, abs=0.03)
    assert found.low < 0.2 < found.high
    assert noise_from_duplicates(Duplicates(10, 5, 2)) is None


def test_near_duplicates_and_their_contradictions():
    rows = planted(0, 0, OTHER, OWN, 200)
    said = "please write a long and careful answer to the question that follows here about "
    rows = [row | {"prompt": said + row["prompt"] * 3} for row in rows]
    again = [row | {"prompt": f"{row['prompt']}now"} for row in rows[:40]]
    turned = [row | {"chosen": row["rejected"], "rejected": row["chosen"]} for row in again[:10]]
    found = duplicates(as_pairs(rows + turned + again[10:]))
    assert found.rows == pytest.approx(80, abs=4)
    assert found.contradictions == pytest.approx(10, abs=1)
    assert duplicates(as_pairs(rows)).rows == 0


def test_ties_and_lengths():
    pairs = Pairs(("a", "b", "c"), ("Yes, it is.", "one two three", "x y"), ("yes it is", "one", "x z y"))
    assert ties(pairs).tolist() == [True, False, False]
    assert length_difference(pairs).tolist() == [0, 2, -1]
    assert length_correlation(length_difference(pairs)) == 0


@pytest.mark.parametrize("shares", [(0.5, 0.5), (0.8, 0.2)])
def test_two_heaps_and_one(shares):
    draw = np.random.default_rng(0)
    sizes = [int(2000 * share) for share in shares]
    found = heaps(np.concatenate([draw.normal(-1, 0.2, sizes[0]), draw.normal(-2, 0.3, sizes[1])]))
    assert found.means == pytest.approx((-1, -2), abs=0.05)
    assert found.shares == pytest.approx(shares, abs=0.05)
    assert len(heaps(draw.normal(-1, 0.3, 2000)).means) == 1
    assert len(heaps(draw.laplace(-1, 0.3, 2000)).means) == 1


@pytest.mark.parametrize("wrong", [0.0, 0.2, 0.4])
@pytest.mark.parametrize("mean", [0.5, -0.5])
def test_mirrored_margins(wrong, mean):
    draw = np.random.default_rng(1)
    margins = draw.normal(mean, 0.25, 4000) * np.where(draw.random(4000) < wrong, -1, 1)
    found = mirrored_heap(margins)
    assert found.clear
    assert min(found.wrong, 1 - found.wrong) == pytest.approx(wrong, abs=0.03)


def test_margins_around_zero_tell_nothing():
    draw = np.random.default_rng(2)
    assert view(draw.normal(-1, 0.3, 500), draw.normal(-1, 0.3, 500)).noise() is None


def test_the_suites_nearest_cell():
    assert nearest(0.18, 0.1).data == "noisy:0.2"
    assert nearest(0.0, 0.6).data in ("mixed:0.5", "mixed:0.75")
    assert "In the suite" in nearest(0.0, 0.0).table.caption


def test_without_a_model_and_refusals(tmp_path):
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(f"{json.dumps(row)}\n" for row in planted(FLIPPED, TIED, OTHER, OWN)))
    done = invoke("diagnose", "--dataset", path)
    assert done.exit_code == 0, done.stderr
    assert "ties " in done.stdout
    assert "look flipped" in done.stdout
    missing = invoke("diagnose", "--dataset", tmp_path / "none.jsonl")
    assert_refused(missing.exit_code, missing.stdout, missing.stderr, "cannot be read")
    nowhere = invoke("diagnose", "--dataset", path, "--model", tmp_path / "none")
    assert_refused(nowhere.exit_code, nowhere.stdout, nowhere.stderr, "its configuration cannot be read")
