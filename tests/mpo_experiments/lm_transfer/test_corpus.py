"""The texts of a transfer experiment: files of every kind, parts that share nothing, and what a text is worth."""

import json

import numpy as np
import pytest

pytest.importorskip("trl")  # an optional extra: .ci/run installs it

from adapters.sentiment.lexicon import sentiments
from mpo_experiments.lm_transfer.corpus import SHARES, read_corpus
from mpo_experiments.lm_transfer.worth import repetition

TEXTS = [f"the {what} number {number} is  fine and long ." for number in range(60) for what in ("book", "song")]


def read(path, column="text", seed=0):
    return read_corpus(str(path), column, prompt_words=3, seed=seed)


def written(folder, kind):
    path = folder / f"corpus.{kind}"
    if kind == "txt":
        path.write_text("\n".join(TEXTS))
    elif kind == "tsv":
        path.write_text("\n".join(["kind\ttext", *(f"one\t{text}" for text in TEXTS)]))
    elif kind == "csv":
        path.write_text("\n".join(["kind,text", *(f"one,{text}" for text in TEXTS)]))
    else:
        path.write_text("\n".join(json.dumps({"text": text}) for text in TEXTS))
    return path


@pytest.mark.parametrize("kind", ["txt", "tsv", "csv", "jsonl"])
def test_every_kind_of_file_gives_the_same_texts(tmp_path, kind):
    assert read(written(tmp_path, kind)) == read(written(tmp_path, "txt"))


def test_parts_share_no_text_and_have_their_share(tmp_path):
    found = read(written(tmp_path, "txt"))
    texts = {name: {"".join(pair) for pair in part} for name, part in found.parts.items()}
    assert set().union(*texts.values()) == {" ".join(text.split()) for text in TEXTS}
    assert sum(map(len, texts.values())) == len(TEXTS)
    assert {name: len(part) / len(TEXTS) for name, part in texts.items()} == pytest.approx(SHARES, abs=0.01)


def test_fresh_prompts_are_no_prompts_of_any_training(tmp_path):
    path = tmp_path / "corpus.txt"
    path.write_text("\n".join(f"it is word{number % 50} and number {number}" for number in range(400)))
    found = read(path)
    earlier = {prompt for name in ("lessons", "reader", "prompts") for prompt, _ in found.parts[name]}
    assert not earlier & set(found.prompts("fresh"))
    assert any(prompt in earlier for prompt, _ in found.parts["fresh"])  # so there was something to leave out


def test_another_seed_cuts_otherwise(tmp_path):
    path = written(tmp_path, "txt")
    assert read(path) != read(path, seed=1)
    assert read(path).sha256 == read(path, seed=1).sha256


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("none.txt", None, "corpus {path}: cannot be read: there is no such file"),
        ("few.txt", "one two three four five\n" * 300, "has 1 texts of more than 3 words; at least 100 are needed"),
        ("other.tsv", "words\nit is so very well", "has no column 'text' (it has words)"),
        ("more.tsv", "text\nit is\tso", "line 2 has more cells than the first line has names"),
        ("numbers.jsonl", '{"text": 3}\n{"text": "a"}', "column 'text' holds what is no text (rows 1)"),
        ("kind.pdf", "text", "no such folder or file of the kinds .json, .jsonl, .parquet, .csv, .tsv, .txt"),
    ],
)
def test_mistakes_get_one_sentence(tmp_path, name, content, says):
    path = tmp_path / name
    if content is not None:
        path.write_text(content)
    with pytest.raises(ValueError, match="corpus") as caught:
        read(path)
    assert says.format(path=path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "share"),
    [("", 0.0), ("good", 0.0), ("good good", 0.0), ("good good good", 0.5), ("a b a b A b", 3 / 5), ("a b c d", 0.0)],
)
def test_repetition_counts_pairs_of_words_that_were_there(text, share):
    assert repetition(text) == pytest.approx(share)


def test_sentiment_knows_negation():
    good, not_good, plain, bad = sentiments(["a good film", "not a good film", "a film", "a dreadful film"])
    assert good > plain == 0 > bad
    assert not_good < 0
    assert np.abs(sentiments(["good great superb lovely happy"])).max() <= 1
