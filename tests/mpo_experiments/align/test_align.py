"""`mpo align` from the command line to the weights, offline, on a model that is made here."""

import json
import subprocess
import sys

import pytest

pytest.importorskip("trl")  # an optional extra: .ci/run installs it

import torch
from safetensors.torch import load_file
from typer.testing import CliRunner

from cli.app import app
from helpers.toy_language import BAD, GOOD, toy_rows, toy_tokenizer
from mpo_core.failures import WorkFailed
from mpo_experiments.align.evaluation import PairScores, preferences
from mpo_experiments.align.judge import Judge, win_rate
from mpo_experiments.align.pairs import load_pair_rows
from mpo_experiments.align.preference_rows import RowRule, read_rows
from mpo_experiments.align.settings import build_settings
from mpo_experiments.align.training import last_checkpoint

HOW = ("--set", "batch=8", "--set", "micro_batch=4", "--set", "learning_rate=0.02", "--set", "lora.rank=4",
       "--set", "lora.dropout=0.1", "--set", "save_every=4", "--set", "log_every=4", "--set", "epochs=2")  # fmt: skip
JUDGE = (
    "import json, sys\n"
    "for line in sys.stdin:\n"
    "    row = json.loads(line)\n"
    f"    good = lambda text: sum(word in {GOOD!r} for word in text.split())\n"
    "    print(1 if good(row['output_1']) >= good(row['output_2']) else 2)\n"
)


def mpo(*arguments):
    return CliRunner().invoke(app, ["align", *map(str, arguments)], catch_exceptions=False)


def begin(toys, out, *more):
    return mpo("--model", toys / "model", "--dataset", toys / "train.jsonl", "--objective", "dpo:beta=0.1",
               "--out", out, *HOW, *more)  # fmt: skip


def weights(folder):
    return load_file(folder / "model" / "adapter_model.safetensors")


@pytest.fixture(scope="module")
def run(toys, tmp_path_factory):
    """An adapter trained without interruption, and what was printed."""
    out = tmp_path_factory.mktemp("aligned") / "run"
    return out, begin(toys, out, "--eval-dataset", toys / "test.jsonl")


def scores(toys, model, *more):
    out = toys / "scores.json"
    found = mpo("evaluate", "--model", model, "--dataset", toys / "test.jsonl", "--out", out, *more)
    assert found.exit_code == 0, found.output
    return json.loads(out.read_text()), found.output


def test_training_improves_accuracy_on_held_out_pairs(toys, run):
    folder, printed = run
    assert printed.exit_code == 0, printed.output
    assert "held-out pairs: accuracy" in printed.output
    before, _ = scores(toys, toys / "model")
    after, said = scores(toys, folder / "model")
    assert (before["pairs"], after["pairs"], after["left_out"]) == (40, 40, 0)
    by = "mean token log-probs"
    assert before["preferences"][by]["accuracy"]["estimate"] < 0.75
    assert after["preferences"][by]["accuracy"]["estimate"] > 0.95
    ratio = after["preferences"]["log-ratios to the reference"]
    logged = json.loads((folder / "result.json").read_text())["held_out"]
    assert ratio["accuracy"]["estimate"] == pytest.approx(logged["eval_rewards/accuracies"], abs=1e-6)
    assert 0.1 * ratio["margin"]["estimate"] == pytest.approx(logged["eval_rewards/margins"], rel=1e-4)
    assert "log-ratios to the reference" in said


def interrupted(at, go):
    """What `go` prints, with Ctrl-C at an update."""

    def strike(_, args, state, control, **__):
        if state.global_step == at:
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("adapters.torch.trl_callbacks.ProgressCallback.on_step_end", strike)
        found = go()
    assert found.exit_code == 130, found.output
    assert "goes on from its last checkpoint" in found.output


def logged(folder):
    """Every line of metrics.jsonl, without what counts from the start of the process: times, tokens, mean loss."""
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").open()]
    other = ("runtime", "per_second", "num_tokens", "train_loss")
    return [{name: value for name, value in line.items() if not any(one in name for one in other)} for line in lines]


def test_an_interrupted_run_ends_at_the_same_weights(toys, run, tmp_path):
    """With dropout; from the border of two epochs, where held-out pairs are scored, and from within one."""
    (whole, _), out = run, tmp_path / "run"
    interrupted(11, lambda: begin(toys, out, "--eval-dataset", toys / "test.jsonl"))
    half = out / "checkpoints" / "checkpoint-12"
    half.mkdir()  # one that was being written
    (half / "trainer_state.json").write_text('{"global')
    assert last_checkpoint(out / "checkpoints").name == "checkpoint-8"
    pairs, told = (toys / "train.jsonl").read_text(), json.loads((out / "align.json").read_text())
    first = json.loads(pairs.partition("\n")[0])
    other = json.dumps(first | {"chosen": first["rejected"] + "."}) + "\n" + pairs.partition("\n")[2]
    told["provenance"]["objective"]["formula"] = "another"
    for path, changed, what in (
        (toys / "train.jsonl", other, "the pairs, or the chat template, are"),
        (out / "align.json", json.dumps(told), "the objective is"),
    ):
        text = path.read_text()
        path.write_text(changed)
        refused = mpo("--resume", out)
        path.write_text(text)
        assert (refused.exit_code, f"{what} not what the run began with" in refused.output) == (2, True)
    interrupted(14, lambda: mpo("--resume", out))
    assert last_checkpoint(out / "checkpoints").name == "checkpoint-12"
    found = mpo("--resume", out)
    assert found.exit_code == 0, found.output
    ours, theirs = weights(out), weights(whole)
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert logged(out) == logged(whole)
    assert last_checkpoint(out / "checkpoints").name == "checkpoint-12"  # after the last update: the model alone
    assert mpo("--resume", out).output.endswith(f"Written to {out / 'model'}\n")


def test_cards_do_not_call_it_dpo(run):
    cards = [path.read_text() for path in run[0].rglob("README.md")]
    assert any("trained with the objective dpo:beta=0.1 of mirror-po" in card for card in cards)
    assert not any("Direct Preference" in card or "- dpo\n" in card for card in cards)


def test_answers_go_to_alpaca_eval_and_to_a_judge(toys, run, tmp_path):
    (tmp_path / "judge.py").write_text(JUDGE)
    command = f"{sys.executable} {tmp_path / 'judge.py'}"
    asked = ("--limit", "6", "--max-new-tokens", "4", "--generate", tmp_path / "out.json", "--judge", command)
    found, said = scores(toys, run[0] / "model", *asked, "--against", "chosen")
    outputs = json.loads((tmp_path / "out.json").read_text())
    assert len(outputs) == 6
    assert outputs[0].keys() == {"instruction", "output", "generator"}
    assert outputs[0]["instruction"] == toy_rows(40, 2)[0]["prompt"]
    assert found["win_rate"]["units"] == 6
    assert "win rate against chosen" in said
    again, _ = scores(toys, run[0] / "model", *asked, "--against", tmp_path / "out.json")
    assert 0 <= again["win_rate"]["estimate"] <= 1


def test_a_judge_sees_both_orders_and_must_judge(tmp_path):
    (tmp_path / "judge.py").write_text(JUDGE)
    prompts, good, bad = ["p"] * 40, [GOOD[0]] * 40, [BAD[0]] * 40
    command = f"{sys.executable} {tmp_path / 'judge.py'}"
    assert win_rate(Judge(command), prompts, good, bad).estimate == 1
    assert win_rate(Judge(command), prompts, bad, good).estimate == 0
    always_first = f"{sys.executable} -c 'import sys; [print(1) for _ in sys.stdin]'"
    assert 0.2 < win_rate(Judge(always_first), prompts, good, bad).estimate < 0.8
    for judge, says in (("exit 3", "exit code 3"), ("echo 1", "1 verdicts for 40"), ("cat", "as a verdict")):
        with pytest.raises(WorkFailed, match=says):
            win_rate(Judge(judge), prompts, good, bad)


def test_ties_count_half():
    import numpy as np

    one = np.zeros(4)
    found = preferences(PairScores(one, one, one + 2, one + 3), None)
    assert [view.accuracy.estimate for view in found] == [0.5, 0.5]


def test_conversations_go_through_a_chat_template(toys, tmp_path):
    data = tmp_path / "talk.json"
    data.write_text(json.dumps(toy_rows(8, talk=True)))
    told = ("--model", toys / "model", "--dataset", data, "--objective", "simpo", "--set", "batch=4")
    refused = mpo(*told, "--out", tmp_path / "one")
    assert refused.exit_code == 2
    assert "has no chat template" in refused.output
    done = mpo(*told, "--out", tmp_path / "two", "--set", "chat_template=zephyr", "--set", "lora.rank=0")
    assert done.exit_code == 0, done.output
    kept = (tmp_path / "two" / "model" / "chat_template.jinja").read_text()
    assert "add_generation_prompt" in kept
    assert "<|assistant|>" in kept


@pytest.mark.parametrize("form", ["json", "jsonl", "csv", "parquet", "folder"])
def test_pairs_are_read_from_every_form(form, tmp_path):
    from datasets import Dataset

    rows = Dataset.from_list([row | {"margin": 0.5, "other": 1} for row in toy_rows(3)])
    path = tmp_path / f"pairs.{form}"
    if form == "folder":
        rows.save_to_disk(path)
    elif form == "csv":
        rows.to_csv(path)
    elif form == "parquet":
        rows.to_parquet(path)
    else:
        rows.to_json(path, lines=form == "jsonl")
    found = read_rows(load_pair_rows(str(path), "train"), "it", RowRule(margin=True)).rows
    assert [row.margin for row in found] == [0.5] * 3
    assert [(row.prompt, row.chosen, row.rejected) for row in found] == [tuple(row.values()) for row in toy_rows(3)]


def test_the_papers_settings():
    found = build_settings({"model": "google/gemma-7b", "dataset": "argilla/dpo-mix-7k", "preset": "paper-llm"})
    assert (found.epochs, found.learning_rate, found.batch, found.max_length) == (4, 5e-5, 64, 2048)
    assert (found.lora.rank, found.lora.alpha, found.lora.dropout) == (128, 256, 0.05)


@pytest.mark.parametrize(
    ("objective", "loss"),
    [
        ("dpo", "dpo:beta=0.05"),
        ("tempo:lam=2", "tempo:lam=2,beta=0.05"),
        ("dpo:beta=0.3", "dpo:beta=0.3"),
        ("orpo", "orpo"),
        ("some/run", "some/run"),
    ],
)
def test_beta_goes_where_there_is_one(objective, loss):
    assert (
        build_settings({"model": "m", "dataset": "d", "preset": "paper-llm", "objective": objective}).loss.text == loss
    )


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--dataset", "x.jsonl"], "--model must be given"),
        (["--model", "nosuch", "--dataset", "DATA"], "model nosuch: its configuration cannot be read"),
        (["--model", "MODEL", "--dataset", "nosuch.jsonl"], "nosuch.jsonl: cannot be read: there is no such file"),
        (["--model", "MODEL", "--dataset", "nosuch/pairs"], "is this machine offline?"),
        (["--model", "MODEL", "--dataset", "EMPTY"], "has no column 'chosen' or 'rejected'"),
        (["--model", "MODEL", "--dataset", "DATA", "--objective", "dop"], "did you mean"),
        (["--model", "MODEL", "--dataset", "DATA", "--objective", "mmpo"], "reads margins"),
        (["--model", "MODEL", "--dataset", "DATA", "--objective", "beta_dpo"], "keeps a state"),
        (["--model", "MODEL", "--dataset", "DATA", "--preset", "paper"], "did you mean 'paper-llm'?"),
        (["--model", "MODEL", "--dataset", "DATA", "--set", "lora.rnk=2"], "did you mean 'rank'?"),
        (["--model", "MODEL", "--dataset", "DATA", "--set", "batch=3"], "must be a multiple of micro_batch"),
        (["--model", "MODEL", "--dataset", "DATA", "--set", "epochs=soon"], "setting epochs:"),
        (["--model", "MODEL", "--resume", "x"], "give no others"),
        (["--resume", "nosuch"], "cannot be read"),
        (["--model", "m", "evaluate", "--model", "m", "--dataset", "d"], "come after its name"),
        (["evaluate", "--model", "MODEL", "--dataset", "DATA", "--judge", "x", "--against", "reference"], "name it"),
        (["evaluate", "--model", "MODEL", "--dataset", "DATA", "--judge", "x", "--against", "no.json"], "no.json"),
        (["evaluate", "--model", "MODEL", "--dataset", "PROMPTS"], "prompts alone"),
    ],
)  # fmt: skip
def test_mistakes_are_refused_in_one_sentence(arguments, says, toys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty.jsonl").write_text('{"text": "a"}\n')
    (tmp_path / "prompts.jsonl").write_text('{"prompt": "a"}\n')
    named = {"MODEL": toys / "model", "DATA": toys / "train.jsonl", "EMPTY": "empty.jsonl", "PROMPTS": "prompts.jsonl"}
    found = mpo(*(named.get(one, one) for one in arguments))
    assert found.exit_code == 2, found.output
    assert says in found.stderr
    assert found.stderr.count("\n") == 1
    assert not (tmp_path / "aligned").exists()


def test_an_old_folder_is_not_written_over(toys, run):
    found = begin(toys, run[0])
    assert found.exit_code == 2
    assert "holds a run already" in found.stderr


def test_missing_weights_are_a_failure_of_work(toys, tmp_path):
    from transformers import AutoConfig

    AutoConfig.from_pretrained(toys / "model").save_pretrained(tmp_path / "bare")
    toy_tokenizer().save_pretrained(tmp_path / "bare")
    found = mpo("--model", tmp_path / "bare", "--dataset", toys / "train.jsonl", "--out", tmp_path / "out")
    assert found.exit_code == 1
    assert "its weights cannot be loaded" in found.stderr


def test_layers_that_are_not_there_are_a_failure_of_work(toys, tmp_path):
    found = begin(toys, tmp_path / "out", "--set", "lora.targets=nosuch")
    assert found.exit_code == 1
    assert "training cannot be set up" in found.stderr


def test_a_missing_extra_is_named():
    code = (
        "import importlib.util, sys\n"
        "find = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name, *rest: None if name in ('trl', 'peft') else find(name, *rest)\n"
        "sys.argv = ['mpo', 'align', '--model', 'm', '--dataset', 'd']\n"
        "from cli import main\n"
        "main()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "trl, peft not installed" in done.stderr
