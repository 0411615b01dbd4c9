"""`mpo evaluate`: the scores of `mpo train` and `mpo benchmark`, and what becomes of files that mean no good."""

import json
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from helpers.reach import reach as reach
from helpers.toy_run import PROGRAM, environment
from mpo_core.evaluation.candidates import Candidate
from mpo_core.losses.catalogue import make_objective
from mpo_core.seeds import Stream
from mpo_experiments.progress import SilentReporter
from mpo_experiments.settings.run_config import build_config
from mpo_experiments.testbed import Testbed, comparison_settings

EXAMPLES = Path(__file__).parents[3] / "docs" / "examples" / "evaluator"
SIZES = ("--task", "reach", "--preset", "smoke", "--units", "2", "--seed", "3")
ORPO = (EXAMPLES / "loss.py").read_text()
DPO = """
import jax

def loss(pair, progress):
    margin = (pair.chosen - pair.ref_chosen) - (pair.rejected - pair.ref_rejected)
    return jax.nn.softplus(-{beta} * margin)
"""


@pytest.fixture(scope="module")
def variables(tmp_path_factory):
    # a confined process does not know this variable: whatever it is compared with is compiled as it is
    return environment(tmp_path_factory.mktemp("known")) | {
        "WANDB_API_KEY": "secret",
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "0",
    }


@pytest.fixture
def mpo(tmp_path, variables):
    """Runs `mpo` in a process; text of a loss goes to a file."""

    def run(*arguments, loss=None):
        if loss is not None:
            (tmp_path / "mine.py").write_text(loss)
            arguments = ("evaluate", "mine.py", *SIZES, *arguments)
        command = [sys.executable, "-c", PROGRAM.format(before="pass"), *map(str, arguments)]
        return subprocess.run(command, env=variables, cwd=tmp_path, capture_output=True, text=True, timeout=300)

    return run


def found(done):
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def sentence(done, code):
    assert (done.returncode, done.stdout) == (code, ""), done.stderr
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    return lines[0]


@pytest.mark.parametrize(("id", "loss"), [("orpo", ORPO), ("dpo", DPO.format(beta=make_objective("dpo").beta))])
def test_scores_are_those_of_train(mpo, tmp_path, id, loss):
    trained = mpo("train", *SIZES, "--objective", id, "--sft-epochs", 1, "--out", "train.json")
    assert trained.returncode == 0, trained.stderr
    train = json.loads((tmp_path / "train.json").read_text())
    score = found(mpo("--sft-epochs", 1, loss=loss))
    np.testing.assert_allclose(score["unit_scores"], train["sampled"], rtol=1e-5)
    np.testing.assert_allclose(score["unit_mode_scores"], train["mode"], rtol=1e-5)
    np.testing.assert_allclose(score["curve"]["score"], np.mean(train["epochs"]["score"], 0), rtol=1e-5)
    assert score["score"] == pytest.approx(np.mean(train["sampled"]))
    assert score["standard_error"] == pytest.approx(np.std(train["sampled"], ddof=1) / 2**0.5)
    assert score["first_bad_update"] is None


@pytest.mark.parametrize(("id", "loss"), [("orpo", ORPO), ("dpo", DPO.format(beta=make_objective("dpo").beta))])
def test_held_out_scores_are_those_of_the_benchmarks_table(mpo, reach, id, loss):
    config = build_config({"task": "reach", "preset": "smoke", "seed": 3})
    candidate = Candidate(make_objective(id), 1)
    table = Testbed("reach").compare([candidate], comparison_settings(config, Stream.REPORTING, 2), SilentReporter())
    score = found(mpo("--sft-epochs", 1, "--held-out", loss=loss))
    np.testing.assert_allclose(score["unit_scores"], table.sampled[0], rtol=1e-4)
    np.testing.assert_allclose(score["unit_mode_scores"], table.mode[0], rtol=1e-4)
    assert score["seeds"] == {"seed": 3, "stream": "reporting", "first_unit": 0, "units": 2}


def test_the_same_bytes_again_and_timings_only_when_asked(mpo, tmp_path):
    first, second = mpo("--out", "score.json", loss=ORPO), mpo("--timings", loss=ORPO)
    assert "Written to score.json" in first.stderr
    assert f"Score {json.loads(first.stdout)['score']:.3f} [" in first.stderr
    assert first.stdout == (tmp_path / "score.json").read_text()
    assert "seconds" not in found(first)
    timed = found(second)
    assert timed.pop("seconds") > 0
    assert json.dumps(timed, indent=2, sort_keys=True) + "\n" == first.stdout


def test_a_loss_without_numbers_scores_minus_one(mpo):
    score = found(mpo(loss="def loss(pair, progress):\n    return pair.chosen * float('nan')\n"))
    assert score["unit_scores"] == [-1.0, -1.0]
    assert (score["score"], score["first_bad_update"], score["first_bad_updates"]) == (-1.0, 0, [0, 0])
    assert score["curve"]["loss"][-1] is None


def test_an_endless_loop_is_ended(mpo):
    began = time.monotonic()
    loop = "def loss(pair, progress):\n    while True:\n        pass\n"
    said = sentence(mpo("--seconds", 8, loss=loop), 1)
    assert "mine.py: was not done after 8 s (--seconds), compilation included, and was ended" in said
    assert time.monotonic() - began < 60


def test_a_file_that_reads_finds_nothing(mpo, tmp_path):
    (tmp_path / "notes.txt").write_text("3")
    reads = "beta = float(open('notes.txt').read())\ndef loss(pair, progress):\n    return beta * pair.rejected\n"
    assert "No such file or directory); it runs in an empty folder" in sentence(mpo(loss=reads), 1)


def test_memory_has_a_limit(mpo):
    hog = "import numpy\nkept = numpy.ones(600_000_000)\ndef loss(pair, progress):\n    return pair.rejected\n"
    assert "needed more memory than its limit of 2 GB" in sentence(mpo("--memory-gb", 2, loss=hog), 1)


def test_a_process_that_ends_itself_is_told(mpo):
    assert "ended without a score (exit code 7)" in sentence(mpo(loss="import os\nos._exit(7)\n"), 1)


def test_nothing_of_it_is_left(mpo, tmp_path):
    note = tmp_path / "pid"
    starts = "import subprocess\nchild = subprocess.Popen(['sleep', '1000'])\n"
    leaves = f"{starts}open({str(note)!r}, 'w').write(str(child.pid))\nloss = 3\n"
    assert "of type int" in sentence(mpo(loss=leaves), 2)
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and _runs(int(note.read_text())):
        time.sleep(0.05)
    assert not _runs(int(note.read_text()))


def _runs(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().split(")")[-1].split()[0] not in ("Z", "X")
    except FileNotFoundError:
        return False


@pytest.mark.skipif(sys.platform != "linux", reason="namespaces are Linux'")
def test_no_credentials_and_no_network(mpo):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        looks = "import os, socket\nassert 'WANDB_API_KEY' not in os.environ\n"
        tries = f"{looks}socket.create_connection(('127.0.0.1', {port}))\nloss = 3\n"
        done = mpo(loss=tries)
    if done.returncode == 2 and "of type int" in done.stderr:
        pytest.skip("this system does not let a process leave the network")
    assert "asked the system for what is not there (OSError" in sentence(done, 1)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("missing.py",), "loss file missing.py: cannot be read"),
        (("mine.py", "--task", "nosuch"), "unknown task 'nosuch'"),
        (("mine.py", "--data", "mixed:2"), "between 0 and 1"),
        (("mine.py", "--sft-epochs", "13"), "preset quick has 12 epochs in all"),
        (("mine.py", "--out", "."), "is a folder, name a file"),
        (("mine.py", "--memory-gb", "0.1"), "memory-gb"),
    ],
)
def test_mistakes_are_refused_at_once(tmp_path, monkeypatch, arguments, says):
    from helpers.command_line import assert_refused, invoke

    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(ORPO)
    done = invoke("evaluate", *arguments)
    assert_refused(done.exit_code, done.stdout, done.stderr, says)


def test_any_name_of_a_file_can_be_told(mpo, tmp_path):
    name = 'mine "or\\not".py'
    (tmp_path / name).write_text("loss = 3\n")
    done = mpo("evaluate", name, *SIZES)
    assert f"loss file {name}: " in sentence(done, 2)


PROPOSALS = (ORPO, "def loss(pair, progress):\n    return pair.chosn\n", ORPO.replace("0.1 *", "1.0 *"))
"""What a language model might answer."""


@pytest.fixture
def search_variables(variables):
    return variables | {"MPO_EVALUATE": " ".join((*SIZES, "--seconds", "120"))}


def test_the_example_for_openevolve_drives_a_search(tmp_path, monkeypatch, search_variables):
    for name, value in search_variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.syspath_prepend(EXAMPLES)
    from openevolve_evaluator import evaluate

    scores = []
    for place, text in enumerate(PROPOSALS):
        path = tmp_path / f"program{place}.py"
        path.write_text(text)
        scores.append(evaluate(str(path)))
    assert scores[1]["combined_score"] == -1.0
    for place in (0, 2):
        assert scores[place]["combined_score"] == scores[place]["score"] - scores[place]["standard_error"]
    assert scores[0] != scores[2]


def test_the_example_for_shinka_writes_its_two_files(tmp_path, search_variables):
    for place, text in enumerate(PROPOSALS[:2]):
        program, results = tmp_path / f"program{place}.py", tmp_path / f"results{place}"
        program.write_text(text)
        command = [sys.executable, EXAMPLES / "shinka_evaluate.py", "--program_path", program, "--results_dir", results]
        subprocess.run(command, check=True, env=search_variables, timeout=300)
        metrics, correct = (json.loads((results / f"{name}.json").read_text()) for name in ("metrics", "correct"))
        assert correct["correct"] == (place == 0)
        assert isinstance(metrics["combined_score"], float)
    assert metrics["text_feedback"] == correct["error"]
    assert "has no attribute 'chosn', line 2" in correct["error"]
