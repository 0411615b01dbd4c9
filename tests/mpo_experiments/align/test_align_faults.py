"""Faults of every kind from the command line: exit code 2 or 1, one sentence, and nothing half-begun left behind."""

import json
import sys

import pytest

pytest.importorskip("trl")  # an optional extra: .ci/run installs it

import torch
from safetensors.torch import load_file

from adapters.torch.trl_run import model_to_train
from adapters.torch.trl_trainer import LossTrainer
from helpers.toy_language import toy_rows
from mpo_experiments.align.arguments import trained_from

FAST = ("--set", "batch=4", "--set", "micro_batch=4", "--set", "lora.rank=2", "--set", "log_every=1")
USER = [{"role": "user", "content": "w1"}]
ANSWERS = {"chosen": [{"role": "assistant", "content": "w2"}], "rejected": [{"role": "assistant", "content": "w30"}]}


def written(folder, rows, name="rows.jsonl"):
    path = folder / name
    path.write_text("".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows))
    return path


def refused(found, says, out=None):
    assert found.exit_code == 2, found.output
    assert says in found.stderr
    assert found.stderr.count("\n") == 1
    assert out is None or not out.exists()


MARGINS = [row | {"margin": 1.0} for row in toy_rows(4)]


@pytest.mark.parametrize("margin", ["high", float("nan"), float("inf"), None, True, [1]])
def test_margins_that_are_none(margin, toys, mpo, tmp_path):
    data, out = written(tmp_path, [*MARGINS, MARGINS[0] | {"margin": margin}]), tmp_path / "out"
    told = ("--model", toys / "model", "--dataset", data, "--out", out, *FAST, "--objective")
    refused(mpo(*told, "mmpo"), "rows.jsonl: row 5: ", out)


def test_margins_in_text_are_numbers(toys, mpo, tmp_path):
    data = written(tmp_path, [row | {"margin": "0.5"} for row in toy_rows(4)])
    found = mpo("--model", toys / "model", "--dataset", data, "--out", tmp_path / "out", *FAST, "--objective", "mmpo")
    assert found.exit_code == 0, found.output
    assert all(torch.isfinite(one).all() for one in weights(tmp_path / "out").values())


def weights(folder):
    return load_file(folder / "model" / "adapter_model.safetensors")


def test_numbers_in_cells_of_a_csv_are_text(toys, mpo, tmp_path):
    from mpo_experiments.align.pairs import load_pair_rows

    data = tmp_path / "rows.csv"
    data.write_text("prompt,chosen,rejected,margin\nAdd.,007,1e5,0.5\n,NA,None,1\n")
    rows = list(load_pair_rows(str(data), "train"))
    assert rows == [
        {"prompt": "Add.", "chosen": "007", "rejected": "1e5", "margin": "0.5"},
        {"prompt": None, "chosen": "NA", "rejected": "None", "margin": "1"},
    ]


ROWS = {
    "no content": ([{"prompt": USER, **ANSWERS, "chosen": [{"role": "assistant", "content": None}]}], "row 1"),
    "a list": ([{"prompt": USER, **ANSWERS, "rejected": [{"role": "assistant", "content": [{"type": "image"}]}]}],
               "row 1"),
    "both forms": ([{"prompt": "w1", **ANSWERS}], "give all in one form"),
    "mixed rows": ([{"prompt": USER, **ANSWERS}, *toy_rows(1)], "row 2: text and messages do not mix"),
    "a number for a row": ([*toy_rows(2), "3"], "row 3: is no object"),
    "no JSON": ([*toy_rows(2), "{'prompt': 1}"], "rows.jsonl: cannot be read: line 3 is not JSON"),
    "half a line": ([*toy_rows(2), '{"prompt": "a'], "line 3 is not JSON"),
    "nested deeply": (["[" * 100_000], "not JSON"),
    "no rows": ([], "holds no rows"),
    "a list of nothing": (["[]"], "holds no rows"),
    "no chosen": ([{"prompt": "a", "rejected": "b"}], "has no column 'chosen' (it has prompt, rejected)"),
    "ties alone": ([{"chosen": "w1", "rejected": "w1"}], "holds no pair"),
    "half a pair of surrogates": ([{"prompt": "w1", "chosen": "\ud800", "rejected": "w2"}], "surrogate"),
}  # fmt: skip


@pytest.mark.parametrize("kind", ROWS)
def test_rows_that_are_no_pairs(kind, toys, mpo, tmp_path):
    rows, says = ROWS[kind]
    data, out = written(tmp_path, rows), tmp_path / "out"
    told = ("--model", toys / "model", "--dataset", data, "--set", "chat_template=zephyr")
    refused(mpo(*told, "--out", out), says, out)
    evaluated = mpo("evaluate", "--model", toys / "model", "--dataset", data, "--chat-template", "zephyr")
    assert evaluated.exit_code == 2, evaluated.output
    assert evaluated.stderr.count("\n") == 1


FILES = {
    "rows.csv": (b"prompt,chosen,rejected\na,b,c,d\n", "line 2 has more cells"),
    "quotes.csv": (b'prompt,chosen,rejected\n"a"b,c,d\n', "line 2 is no line of a csv file"),
    "bytes.csv": (b"prompt,chosen,rejected\n\xff\xfe,b,c\n", "not text in UTF-8"),
    "bytes.jsonl": (b'{"chosen": "\xff"}\n', "not text in UTF-8"),
    "torn.parquet": (b"PAR1 and no more", "torn.parquet: cannot be read"),
    "object.json": (b'{"chosen": "a",\n "rejected": 3', "object.json: cannot be read: the file is not JSON"),
    "text.txt": (b"hello", "has no column 'chosen' or 'rejected' (it has text)"),
    "text.pdf": (b"hello", "no such folder or file of the kinds"),
}


@pytest.mark.parametrize("name", FILES)
def test_a_message_is_about_that_file(name, toys, mpo, tmp_path):
    content, says = FILES[name]
    (tmp_path / name).write_bytes(content)
    found = mpo("--model", toys / "model", "--dataset", tmp_path / name, "--out", tmp_path / "out")
    refused(found, says, tmp_path / "out")
    assert "offline" not in found.stderr


@pytest.mark.parametrize(
    ("template", "says"),
    [("{% if %}", "line 1: "), ("{{ messages[0].nosuch.deeper }}", "row 1: the chat template cannot take"),
     ("{{ raise_exception('no') }}", "(no)"), ("{{ 1 / 0 }}", "division"), ("{% for %}\n", "chat template")],
)  # fmt: skip
def test_a_broken_template(template, says, toys, mpo, tmp_path):
    data, out = written(tmp_path, toy_rows(4, talk=True)), tmp_path / "out"
    (tmp_path / "template.jinja").write_text(template)
    chosen = f"chat_template={tmp_path / 'template.jinja'}"
    refused(mpo("--model", toys / "model", "--dataset", data, "--set", chosen, "--out", out), says, out)


def long_rows(long, short):
    return [row | {"prompt": " ".join(["w1"] * 40) + " "} for row in toy_rows(long)] + toy_rows(short, 3)


def test_too_many_prompts_that_fill_the_length(toys, mpo, tmp_path):
    data, good, out = (
        written(tmp_path, long_rows(12, 4)),
        written(tmp_path, toy_rows(8), "good.jsonl"),
        tmp_path / "out",
    )
    short = ("--model", toys / "model", "--out", out, *FAST, "--set", "max_length=20")
    refused(mpo(*short, "--dataset", data), "of 16 pairs 12 cannot be used", out)
    refused(mpo(*short, "--dataset", good, "--eval-dataset", data), "of 16 pairs 12 cannot be used", out)
    refused(mpo(*short, "--dataset", written(tmp_path, long_rows(4, 0), "all.jsonl")), "of 4 pairs 4", out)
    found = mpo(*short, "--dataset", data, "--eval-dataset", data, "--set", "max_left_out=0.8")
    assert found.exit_code == 0, found.output
    assert "12 of 16 rows left out, for the prompt alone fills the length (rows 1, 2," in found.output
    for name in ("align.json", "result.json"):
        content = json.loads((out / name).read_text())
        counts = content["data"] if name == "result.json" else content["provenance"]["data"]
        assert [counts[kind][what] for kind in ("train", "held_out") for what in ("rows", "used", "too_long")] == [
            16, 4, 12, 16, 4, 12,
        ]  # fmt: skip
    scored = ("evaluate", "--model", toys / "model", "--dataset", data, "--max-length")
    refused(mpo(*scored, "20"), "of 16 pairs 12 cannot be used")
    refused(mpo(*scored, "2"), "of 16 pairs 16 cannot be used")
    assert "4 held-out pairs, 12 left out" in mpo(*scored, "20", "--max-left-out", "0.8").output


@pytest.mark.parametrize("held_out", [False, True])
def test_a_step_that_is_not_finite_ends_the_run(held_out, toys, mpo, tmp_path):
    """After one update of 1e30 every log-prob is infinite: seen in the next loss, else in that of held-out pairs."""
    data, out = written(tmp_path, toy_rows(4 if held_out else 8)), tmp_path / "out"
    told = ("--model", toys / "model", "--dataset", data, "--objective", "sft", "--out", out, *FAST)
    more = ("--eval-dataset", data) if held_out else ()
    found = mpo(*told, "--set", "learning_rate=1e30", "--set", "schedule=constant", *more)
    assert found.exit_code == 1, found.output
    assert "the loss is not finite (rows " in found.stderr
    assert ("held-out data" in found.stderr) is held_out
    assert "Written to" not in found.output
    assert not (out / "model").exists()


def test_weights_that_are_not_finite_are_not_written(toys, mpo, tmp_path):
    data, out = written(tmp_path, toy_rows(4)), tmp_path / "out"
    told = ("--model", toys / "model", "--dataset", data, "--objective", "sft", "--out", out, *FAST)
    found = mpo(*told, "--set", "learning_rate=1e39", "--set", "schedule=constant")
    assert found.exit_code == 1, found.output
    assert "the weights are not finite" in found.stderr
    assert not (out / "model").exists()


def test_what_cannot_be_set_up_leaves_no_folder(toys, mpo, tmp_path):
    out = tmp_path / "out"
    told = ("--model", toys / "model", "--dataset", toys / "train.jsonl", "--out", out)
    assert mpo(*told, "--set", "lora.targets=nosuch").exit_code == 1
    assert not out.exists()


def test_objectives_that_compare_rows_are_noted_under_micro_batches(toys, mpo, tmp_path):
    data = written(tmp_path, toy_rows(4))
    for micro, noted in ((2, True), (4, False)):
        out = tmp_path / f"out{micro}"
        told = ("--model", toys / "model", "--dataset", data, "--objective", "aot", "--out", out, "--set", "batch=4")
        found = mpo(*told, "--set", f"micro_batch={micro}", "--set", "lora.rank=2")
        assert found.exit_code == 0, found.output
        assert ("compares the rows of a batch" in found.output) is noted


@pytest.fixture(scope="module")
def adapter(toys, mpo, tmp_path_factory):
    """A run that trained an adapter of rank 2, and one that trained it further."""
    folder = tmp_path_factory.mktemp("adapters")
    found = mpo("--model", toys / "model", "--dataset", toys / "train.jsonl", "--out", folder / "one",
                "--objective", "dpo:beta=0.1", *FAST, "--set", "learning_rate=0.02")  # fmt: skip
    assert found.exit_code == 0, found.output
    further = mpo("--model", folder / "one" / "model", "--dataset", toys / "test.jsonl", "--out", folder / "two",
                  "--eval-dataset", toys / "test.jsonl", "--objective", "dpo:beta=0.1", "--set", "batch=4",
                  "--set", "micro_batch=4", "--set", "learning_rate=0.02")  # fmt: skip
    assert further.exit_code == 0, further.output
    return folder


def test_an_adapter_that_is_trained_further_keeps_its_dropout_and_its_reference_has_none(toys, mpo, tmp_path):
    first = mpo("--model", toys / "model", "--dataset", toys / "train.jsonl", "--out", tmp_path / "one", *FAST,
                "--objective", "dpo:beta=0.1", "--set", "learning_rate=0.02", "--set", "lora.dropout=0.5")  # fmt: skip
    assert first.exit_code == 0, first.output
    model, has_adapter = model_to_train(str(tmp_path / "one" / "model"), adapted=True, seed=0)
    rates = {module.p for name, module in model.named_modules() if "lora_dropout.default" in name}
    assert (has_adapter, rates) == (True, {0.5})
    seen = []

    def watched(self, model, inputs, before=LossTrainer.compute_ref_log_probs):
        seen.append([before(self, model, inputs)[0] for _ in range(2)])
        return seen[-1][0], before(self, model, inputs)[1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LossTrainer, "compute_ref_log_probs", watched)
        found = mpo("--model", tmp_path / "one" / "model", "--dataset", toys / "test.jsonl", "--out", tmp_path / "two",
                    "--objective", "dpo:beta=0.1", "--set", "batch=4", "--set", "micro_batch=4")  # fmt: skip
    assert found.exit_code == 0, found.output
    assert seen
    assert all(torch.equal(*twice) for twice in seen)


def test_a_folder_that_holds_a_model_is_not_trained_into(toys, mpo, tmp_path):
    for name in ("model", "checkpoints"):
        folder = tmp_path / name
        (folder / name).mkdir(parents=True)
        (folder / name / "mine").write_text("mine")
        found = mpo("--model", toys / "model", "--dataset", toys / "train.jsonl", "--out", folder, *FAST)
        assert (found.exit_code, f"has a {name} already" in found.output) == (2, True), found.output
        assert (folder / name / "mine").read_text() == "mine"


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (["lora.rank=32"], "lora.rank=32: model"),
        (["lora.rank=0"], "lora.rank=0 trains a whole model"),
        (["lora.rank=2", "lora.alpha=7"], "lora.alpha=7.0: model"),
        (["lora.dropout=0.3"], "has lora.dropout=0.0"),
        (["lora.targets=q_proj"], "lora.targets=q_proj: model"),
    ],
)
def test_settings_that_an_adapter_does_not_have(given, says, adapter, toys, mpo, tmp_path):
    told = ("--model", adapter / "one" / "model", "--dataset", toys / "train.jsonl", "--out", tmp_path / "out")
    refused(mpo(*told, *(part for one in given for part in ("--set", one))), says, tmp_path / "out")


def test_an_adapter_that_is_trained_further(adapter, toys, mpo, tmp_path):
    """Its own settings are recorded, it holds no copy of what it was, and it is compared with what it was."""
    said = json.loads((adapter / "two" / "align.json").read_text())["settings"]["lora"]
    assert said["rank"] == 2
    assert not [path for path in (adapter / "two").rglob("ref") if path.is_dir()]
    assert trained_from(str(adapter / "two" / "model")) == str(adapter / "one" / "model")
    found = mpo("evaluate", "--model", adapter / "two" / "model", "--dataset", toys / "test.jsonl",
                "--out", tmp_path / "scores.json")  # fmt: skip
    assert found.exit_code == 0, found.output
    scores = json.loads((tmp_path / "scores.json").read_text())["preferences"]["log-ratios to the reference"]
    logged = json.loads((adapter / "two" / "result.json").read_text())["held_out"]
    assert scores["accuracy"]["estimate"] == pytest.approx(logged["eval_rewards/accuracies"], abs=1e-6)
    assert 0.1 * scores["margin"]["estimate"] == pytest.approx(logged["eval_rewards/margins"], rel=1e-4)


def test_an_origin_that_is_gone_is_named(adapter, toys, mpo, tmp_path):
    import shutil

    moved = tmp_path / "moved"
    shutil.copytree(adapter / "two" / "model", moved)
    card = json.loads((moved / "mpo_align.json").read_text())
    card["settings"]["model"] = str(tmp_path / "gone")
    (moved / "mpo_align.json").write_text(json.dumps(card))
    told = ("evaluate", "--model", moved, "--dataset", toys / "test.jsonl")
    refused(mpo(*told), "which is not there; name what to compare with by --reference")
    assert mpo(*told, "--reference", toys / "model").exit_code == 0


def test_answers_are_kept_whatever_the_judge_does(toys, mpo, tmp_path):
    told = ("evaluate", "--model", toys / "model", "--dataset", toys / "test.jsonl", "--limit", "5",
            "--max-new-tokens", "3", "--generate", tmp_path / "answers.json")  # fmt: skip
    first = mpo(*told, "--judge", "exit 7")
    assert first.exit_code == 1
    assert "exit code 7" in first.stderr
    answers = json.loads((tmp_path / "answers.json").read_text())
    assert len(answers) == 5
    slow = mpo(*told, "--judge", "sleep 60", "--judge-seconds", "0.5")
    assert "was stopped after 0.5 seconds" in slow.stderr
    answers[0]["output"], answers[1]["output"] = " ", ""
    (tmp_path / "answers.json").write_text(json.dumps(answers))
    always = f"{sys.executable} -c 'import sys; [print(1) for _ in sys.stdin]'"
    again = ("--answers", tmp_path / "answers.json", "--judge", always, "--out", tmp_path / "scores.json")
    found = mpo("evaluate", "--model", toys / "model", "--dataset", toys / "test.jsonl", "--limit", "5", *again)
    assert found.exit_code == 0, found.output
    assert "answering" not in found.output
    scores = json.loads((tmp_path / "scores.json").read_text())
    empty, wins = sum(not one["output"].strip() for one in answers), scores["win_rate"]
    assert (scores["answers"], scores["empty_answers"], wins["units"]) == (5, empty, 5)
    assert f"{empty} of 5 answers are empty" in found.stdout
    assert 0 <= wins["low"] <= wins["high"] <= 1
