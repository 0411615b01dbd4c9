"""Rows and files of `mpo align`, fuzzed: read or refused with a reason; and where a run ends well, finite weights."""

import json
import math
import os
import shutil

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

pytest.importorskip("trl")  # an optional extra: .ci/run installs it

import torch
from safetensors.torch import load_file

from adapters.torch.language_models import ZEPHYR, TokenEncoder
from helpers.toy_language import WORDS, toy_tokenizer
from mpo_experiments.align.conversations import template_words
from mpo_experiments.align.pairs import PairRule, read_pairs
from mpo_experiments.align.preference_rows import RowRule, read_row
from mpo_experiments.align.token_rows import TokenRule

SHARE = float(os.environ.get("MPO_FUZZ", "0.25"))
"""Of the runs of a full round, how many are tried; rows, which cost nothing, are all tried every time."""


def cases(count):
    """So many examples, the same every time, and no database of them."""
    return settings(
        max_examples=count, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck)
    )


ODD_TEXT = st.one_of(
    st.text(max_size=12),
    st.text(st.characters(blacklist_categories=()), max_size=6),
    st.sampled_from(["", " ", "\0", "\ud800", "</s>", "<pad>", "w1 </s></s>", "\u200b", "a\u0301", "🙂" * 40, "{{ x }}",
                     "w1 " * 300, "<|assistant|>\n", "\r\n\u2028", "天空"]),
)  # fmt: skip
PHRASE = st.lists(st.sampled_from(WORDS), min_size=1, max_size=6).map(" ".join)
TEXT = st.one_of(PHRASE, PHRASE, ODD_TEXT)
NUMBERS = st.one_of(
    st.floats(), st.integers(), st.sampled_from([math.nan, math.inf, -0.0, 1e39, 10**400, 1e-320, 2**63]), st.booleans()
)
ODD = st.recursive(
    st.one_of(st.none(), NUMBERS, ODD_TEXT),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=5,
)
ROLES = st.one_of(
    st.sampled_from(["user", "assistant", "system", "assistant", "user"]),
    st.sampled_from(["tool", "gpt", "Assistant", "", "developer"]), ODD,
)  # fmt: skip
CONTENTS = st.one_of(
    TEXT, TEXT, TEXT, st.none(), NUMBERS, ODD,
    st.lists(st.fixed_dictionaries({"type": st.sampled_from(["text", "image"]), "text": TEXT}), max_size=2),
)  # fmt: skip
EXTRA = st.sampled_from(
    [{}, {}, {}, {"name": "x"}, {"tool_calls": None}, {"tool_calls": [{"function": {"name": "f"}}]}]
)
MESSAGE = st.builds(lambda role, content, extra: {"role": role, "content": content} | extra, ROLES, CONTENTS, EXTRA)
SOUND = st.lists(TEXT, min_size=1, max_size=4).map(
    lambda texts: [
        {"role": ("user", "assistant")[at % 2], "content": text}
        for at, text in enumerate(texts[: len(texts) - 1 + len(texts) % 2])
    ]
)
"""Turns of a user and the assistant, the user's last."""
ANSWER = TEXT.map(lambda text: [{"role": "assistant", "content": text}])
TALK = st.one_of(SOUND, ANSWER, st.builds(list.__add__, SOUND, ANSWER), st.lists(st.one_of(MESSAGE, ODD), max_size=3))
CELL = st.one_of(TEXT, TEXT, TALK, TALK, ODD)
MARGIN = st.one_of(st.floats(-3, 3), st.floats(-3, 3).map(str), NUMBERS, ODD)
OPTIONAL = {"prompt": CELL, "margin": MARGIN, "system": st.one_of(TEXT, ODD), "tools": st.just(None), "id": ODD}
ROW = st.one_of(
    st.fixed_dictionaries({"chosen": TEXT, "rejected": TEXT}, optional={"prompt": TEXT, "margin": MARGIN}),
    st.fixed_dictionaries({"prompt": SOUND, "chosen": ANSWER, "rejected": ANSWER}),
    st.builds(
        lambda head, one, other: {"prompt": None, "chosen": head + one, "rejected": head + other}, SOUND, ANSWER, ANSWER
    ),
    st.fixed_dictionaries({"chosen": CELL, "rejected": CELL}, optional=OPTIONAL),
    st.fixed_dictionaries({"chosen": TALK, "rejected": TALK}, optional=OPTIONAL),
    ODD,
)  # fmt: skip


def encoder():
    tokenizer = toy_tokenizer()
    tokenizer.chat_template = ZEPHYR
    return TokenEncoder(tokenizer)


ENCODER = encoder()


@cases(1500)
@given(ROW, st.booleans(), st.sampled_from(["", "tool tool_calls name"]), st.integers(2, 40))
def test_a_row_is_read_or_refused_with_a_reason(row, margin, knows, length):
    rule = RowRule(margin, template_words(knows))
    try:
        found = read_row(row, rule)
    except ValueError as error:
        assert 0 < len(str(error)) < 400  # noqa: PT017
        return
    assert type(found.chosen) is type(found.rejected) is type(found.prompt)
    assert not margin or math.isfinite(found.margin)
    for side in (found.chosen, found.rejected):
        assert side[-1]["role"] == "assistant" if isinstance(side, list) else side.strip()
    try:
        pairs = read_pairs([row], "data", ENCODER, PairRule(rule, TokenRule(length)))
    except ValueError as error:
        assert str(error).startswith("data: ")  # noqa: PT017
        return
    (one,) = pairs.data
    assert len(one["prompt_ids"]) < length
    for side in ("chosen", "rejected"):
        scored = one.get(f"{side}_scored", [1] * len(one[f"{side}_ids"]))
        assert 1 in ([0] * len(one["prompt_ids"]) + list(scored))[1:length]


FILES = st.one_of(
    st.lists(ROW, min_size=1, max_size=4),
    st.lists(st.fixed_dictionaries({"chosen": PHRASE, "rejected": PHRASE, "margin": st.floats(-3, 3)}), min_size=1,
             max_size=6),
    st.lists(st.fixed_dictionaries({"prompt": PHRASE, "chosen": PHRASE, "rejected": TEXT, "margin": MARGIN}),
             min_size=1, max_size=4),
    st.lists(st.fixed_dictionaries({"prompt": SOUND, "chosen": ANSWER, "rejected": ANSWER, "margin": st.just(1)}),
             min_size=1, max_size=4),
)  # fmt: skip


def check(mpo, toys, folder, rows, *more):
    """A run that ends well has finite weights; one that is refused leaves nothing."""
    data, out = folder / "rows.jsonl", folder / "out"
    data.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    try:
        found = mpo(
            "--model", toys / "model", "--dataset", data, "--out", out, "--set", "batch=2", "--set", "micro_batch=2",
            "--set", "max_length=40", "--set", "max_left_out=0.9", "--set", "chat_template=zephyr", *more,
        )  # fmt: skip
        assert found.exit_code in (0, 2), found.output
        if found.exit_code == 2:
            assert found.stderr.startswith("Error: ")
            assert (found.stdout, found.stderr.count("\n")) == ("", 1)
            assert not out.exists()
        else:
            tensors = load_file(out / "model" / "adapter_model.safetensors")
            assert all(torch.isfinite(one).all() for one in tensors.values())
        return found.exit_code
    finally:
        shutil.rmtree(out, ignore_errors=True)


OBJECTIVES = ["tempo", "dpo", "sft", "mmpo", "rpo_sq", "simpo", "aot"]


@cases(round(100 * SHARE))
@given(FILES, st.sampled_from(OBJECTIVES))
def test_files_of_rows(mpo, toys, tmp_path_factory, rows, objective):
    check(mpo, toys, tmp_path_factory.getbasetemp(), rows, "--objective", objective, "--set", "lora.rank=2")


SUFFIXES = [".json", ".jsonl", ".csv", ".parquet"]


@cases(round(160 * SHARE))
@given(
    st.integers(0), st.binary(max_size=4), st.integers(0, 3), st.sampled_from([".json", ".jsonl", ".csv", ".parquet"])
)
def test_torn_files(tmp_path_factory, at, garbage, dropped, suffix):
    """Read, or refused in a sentence on that file."""
    from datasets import Dataset

    from mpo_experiments.align.pairs import load_pair_rows

    path = tmp_path_factory.getbasetemp() / f"torn{suffix}"
    data = Dataset.from_list([{"prompt": "w1", "chosen": "w2, w3", "rejected": f"w{at}"} for at in range(3)])
    if suffix == ".parquet":
        data.to_parquet(path)
    elif suffix == ".csv":
        data.to_csv(path)
    else:
        data.to_json(path, lines=suffix == ".jsonl")
    content = path.read_bytes()
    at %= len(content)
    path.write_bytes(content[:at] + garbage + content[at + dropped :])
    try:
        read_pairs(load_pair_rows(str(path), "train"), "data", ENCODER, PairRule(RowRule(), TokenRule()))
    except ValueError as error:
        assert str(error).startswith((f"dataset {path}: ", "data: "))  # noqa: PT017
