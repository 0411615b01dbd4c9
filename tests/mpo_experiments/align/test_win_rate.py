"""A judge of a user's own: what it may do wrong, and what of its work is kept."""

import json
import sys
import time

import numpy as np
import pytest

pytest.importorskip("trl")  # an optional extra: .ci/run installs it

from mpo_core.failures import WorkFailed
from mpo_experiments.align.evaluation import alpaca_outputs, read_outputs
from mpo_experiments.align.judge import Judge, win_rate

PROMPTS, OURS, THEIRS = [f"p{at}" for at in range(12)], ["good"] * 12, ["bad"] * 12
JUDGE = (
    "import json, os, sys, time\n"
    "stop, log = int(sys.argv[1]), open(sys.argv[2], 'a')\n"
    "for place, line in enumerate(sys.stdin):\n"
    "    if place == stop:\n"
    "        {end}\n"
    "    row = json.loads(line)\n"
    "    print(row['prompt'], file=log, flush=True)\n"
    "    print(1 if row['output_1'] == 'good' else 2)\n"
)


def command(folder, stop, end="sys.exit(3)"):
    (folder / "judge.py").write_text(JUDGE.replace("{end}", end))
    return f"{sys.executable} {folder / 'judge.py'} $STOP {folder / 'asked'}", stop


def judged(monkeypatch, judge, stop):
    monkeypatch.setenv("STOP", str(stop))
    return win_rate(judge, PROMPTS, OURS, THEIRS)


@pytest.mark.parametrize(
    ("end", "says"), [("sys.exit(3)", "exit code 3"), ("time.sleep(60)", "was stopped after 3 seconds, with 5 of 12")]
)
def test_it_goes_on_where_it_ended(end, says, tmp_path, monkeypatch):
    text, _ = command(tmp_path, 5, end)
    judge, began = Judge(text, 3.0, tmp_path / "verdicts.jsonl"), time.monotonic()
    with pytest.raises(WorkFailed, match=says) as found:
        judged(monkeypatch, judge, 5)
    assert time.monotonic() - began < 30
    assert "verdicts.jsonl" in str(found.value)
    with judge.verdicts.open("a") as file:
        file.write('{"asked": "torn')
    done = judged(monkeypatch, judge, -1)
    assert (done.estimate, done.units, done.high) == (1.0, 12, 1.0)
    assert (tmp_path / "asked").read_text().split() == PROMPTS  # each once
    assert judged(monkeypatch, judge, 0).estimate == 1.0  # nothing is left to ask


@pytest.mark.parametrize(
    ("judge", "says"),
    [
        ("printf '\\377\\376\\n'", "as a verdict"),
        ("printf 'what\\377' >&2; exit 4", "exit code 4"),
        ("cat", "as a verdict"),
        ("yes 1 | head -n 20", "more than 12 verdicts for 12"),
        ("yes 1", "more than 12 verdicts for 12"),
        ("yes 1 | head -n 3; echo Loading; yes 2 | head -n 3; exit 1", "'Loading' as a verdict"),
        ("true", "0 verdicts for 12"),
        ("nosuchjudge", "exit code 127"),
    ],
)
def test_a_judge_that_does_not_judge(judge, says, tmp_path):
    kept = tmp_path / "verdicts.jsonl"
    kept.write_text(json.dumps({"asked": "x", "verdict": "1"}) + "\n")
    with pytest.raises(WorkFailed, match=says):
        win_rate(Judge(judge, verdicts=kept), PROMPTS, OURS, THEIRS)
    assert len(kept.read_text().splitlines()) == 1  # what cannot be told apart is not kept


def test_a_prompt_that_was_asked_several_times_has_its_answers_in_their_order(tmp_path):
    prompts, answers = ["a", "b", "a", "a"], ["first", "other", "second", "third"]
    (tmp_path / "answers.json").write_text(json.dumps(alpaca_outputs(prompts, answers, "model")))
    assert read_outputs(tmp_path / "answers.json", prompts) == answers
    assert read_outputs(tmp_path / "answers.json", [*prompts, "b", "a"])[4:] == ["other", "third"]


def test_equal_answers_are_ties_that_nobody_is_asked_for():
    found = win_rate(Judge("exit 9"), PROMPTS, OURS, OURS)
    assert (found.estimate, found.units) == (0.5, 12)


@pytest.mark.parametrize("wins", [0, 1, 6, 11, 12])
def test_the_interval_stays_within_nought_and_one(wins):
    ours = ["good"] * wins + ["bad"] * (12 - wins)
    theirs = ["bad"] * wins + ["good"] * (12 - wins)
    text = (
        f'{sys.executable} -c "import json, sys\n'
        "for line in sys.stdin: print(1 if json.loads(line)['output_1'] == 'good' else 2)\""
    )
    found = win_rate(Judge(text), PROMPTS, ours, theirs)
    assert found.estimate == pytest.approx(wins / 12)
    assert 0 <= found.low < found.high <= 1
    assert np.isfinite([found.low, found.high]).all()
