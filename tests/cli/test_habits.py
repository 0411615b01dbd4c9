"""Habits of a command line: versions, completion, tables that fit, honest progress, folders that keep what was made."""

import io
import json
import os
import subprocess
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from rich.console import Console

from adapters.storage.agent_files import load_agent
from cli.display import Display
from helpers.command_line import assert_refused, invoke
from helpers.reach import reach as reach
from mpo_core.compile_clock import compile_seconds
from mpo_experiments.benchmark.cell import BenchmarkSettings, CellKey
from mpo_experiments.benchmark.cost import Rest, describe_cost, recorded_rates
from mpo_experiments.settings.run_config import read_run_config

NO_JAX = "import sys; {code}; sys.exit('jax' in sys.modules)"


def test_the_version_is_said_without_jax():
    said = invoke("--version").stdout.split()
    assert said[0] == "mpo"
    for code in ("import mpo_core; print(mpo_core.__version__)", "import runpy; runpy.run_module('mpo_core')"):
        done = subprocess.run([sys.executable, "-c", NO_JAX.format(code=code)], capture_output=True, text=True)
        assert (done.returncode, done.stdout.strip()) == (0, said[1]), done.stderr


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ("train --task h", {"halfcheetah", "hopper"}),
        ("meta-train --task halfcheetah,ho", {"halfcheetah,hopper"}),
        ("meta-train --strategy op", {"openes"}),
        ("tune --preset s", {"smoke"}),
        ("agents train --task wal", {"walker2d"}),
        ("data build --data m", {"mixed:0.75"}),
        ("train --objective slic", {"slic_hf"}),
        ("benchmark --objectives dpo,discovered/ant-n", {"dpo,discovered/ant-noisy20-temporal"}),
    ],
)
def test_values_are_completed(words, wanted):
    arguments = f"mpo {words}"
    told = {"_MPO_COMPLETE": "complete_zsh", "_TYPER_COMPLETE_ARGS": arguments}
    code = (
        "import sys; sys.argv = ['mpo']; import cli.app\n"
        "try: cli.app.app(prog_name='mpo')\nfinally: assert 'jax' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], env=os.environ | told, capture_output=True, text=True)
    assert "Assertion" not in done.stderr
    offered = {part for part in done.stdout.replace("\\", "").split('"') if part.strip() and "_arguments" not in part}
    assert wanted <= offered, (done.stdout, done.stderr)
    assert all(one.startswith(words.split()[-1]) for one in offered if not one.startswith(("'", ")")))


def test_agents_are_listed_in_a_table_of_80_columns():
    lines = invoke("agents", "list").stdout.splitlines()
    assert max(map(len, lines)) <= 80
    pairs = ("three_legged_ant", "three_legged_ant@1", "three_legged_ant@2")
    assert all([line.split()[0] for line in lines].count(pair) == 2 for pair in pairs)  # none is folded
    assert next(line.split("│")[3].strip() for line in lines if line.startswith("ant ")) == "1013 ± 46"
    assert "6.39M" in next(line for line in lines if "halfcheetah" in line and "target" in line)


class Clock:
    now = 0.0

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr("cli.display.time.monotonic", clock.monotonic)
    return clock


def test_the_time_before_the_first_work_is_no_part_of_the_eta(clock):
    out = Console(force_terminal=True, width=100, record=True, file=io.StringIO())
    with Display(out) as display:
        display.stage("Training", 10, "policy")
        display.advance(0)
        clock.now = 60.0
        assert shown(display, out).endswith("starting")
        display.advance(2)
        clock.now = 64.0
        display.advance(4)
        line = shown(display, out)
        assert "eta 4 s" in line  # not the minute before it
        assert "starting" not in line
    assert "Training: 10 policies" not in out.export_text()


def shown(display, out):
    with out.capture() as captured:
        out.print(display._picture())
    return captured.get().strip().splitlines()[-1].rstrip()


@pytest.mark.parametrize(
    ("compiling", "said"), [(50.0, ", compiling for 50 s of it"), (99.0, ", compiling for 1 min 02 s of it"), (2.0, "")]
)
def test_a_long_compilation_is_said_and_slow_work_is_no_compilation(clock, capsys, monkeypatch, compiling, said):
    """In another thread it may take longer than the stage."""
    spent = [7.0]
    monkeypatch.setattr("mpo_core.compile_clock.compile_seconds", lambda: spent[0])
    with Display(Console(width=100)) as display:
        display.stage("Training", 4, "policy")
        clock.now, spent[0] = 62.0, 7.0 + compiling
        display.advance(4)
    assert capsys.readouterr().out.splitlines()[-1] == f"Training: 4 policies in 1 min 02 s{said}"


def test_jax_tells_how_long_it_compiles():
    before = compile_seconds()
    jax.jit(lambda x: x + 1.5)(jnp.ones(17)).block_until_ready()
    after = compile_seconds()
    assert after > before
    time.sleep(0.05)
    assert compile_seconds() == after


def test_what_was_there_already_is_no_line(clock, capsys):
    with Display(Console(width=100)) as display:
        display.stage("Fresh data", 400, "step")
        display.advance(0)
        display.stage("Training", 4, "policy")
        display.advance(4)
    assert capsys.readouterr().out == "Training: 4 policies in 0 s\n"


def test_what_an_earlier_part_made_is_not_counted_to_this_ones_time(clock, capsys):
    with Display(Console(width=100)) as display:
        display.stage("Training", 12, "policy", done=6)
        clock.now = 5.0
        display.advance(6)
        display.stage("Judging", 4, "policy", done=4)
    assert capsys.readouterr().out == "Training: 6 policies in 5 s\n"


def test_a_dry_run_is_an_estimate_in_seconds():
    began = time.monotonic()
    settings, keys = BenchmarkSettings(), [CellKey("halfcheetah", "base"), CellKey("ant", "base")]
    lines = describe_cost(dict.fromkeys(keys, Rest(settings)))
    assert time.monotonic() - began < 60  # 15 s on an idle machine
    assert all("estimated from recorded rates" in lines[place] for place in (0, 2))
    assert "An estimate" in lines[-1]
    longer = [recorded_rates(keys[0], BenchmarkSettings(preset=preset)) for preset in ("quick", "paper")]
    assert longer[0].updates == pytest.approx(5 * longer[1].updates)  # rows of 200 and of 1000 steps
    other_pair = recorded_rates(CellKey("halfcheetah@7", "base"), BenchmarkSettings())
    assert other_pair.updates == pytest.approx(longer[0].updates)
    assert recorded_rates(CellKey("reach", "base"), settings) is None
    refused = invoke("benchmark", "--task", "hopper", "--measure")
    assert_refused(refused.exit_code, refused.stdout, refused.stderr, "goes with --dry-run")


TRAIN = ("train", "--task", "reach", "--preset", "smoke", "--objective", "orpo", "--units", "2")


def test_train_keeps_policies_scores_and_curves_in_a_folder(reach, tmp_path):
    folder, file = tmp_path / "run", tmp_path / "scores.json"
    for out in (folder, file):
        done = invoke(*TRAIN, "--out", out)
        assert done.exit_code == 0, done.stderr
        assert done.stdout.rstrip().endswith(f"Written to {out}")
    assert json.loads((folder / "scores.json").read_text()) == json.loads(file.read_text())
    config = read_run_config(folder / "config.json")
    assert (config.tasks, config.preset) == (("reach",), "smoke")
    policy = config.provenance["policy"]
    agents = [load_agent(path, **policy) for path in sorted((folder / "policies").iterdir())]
    assert len(agents) == 2
    assert not np.allclose(agents[0].raw_scale, agents[1].raw_scale)
    assert list((folder / "tensorboard").iterdir())
    again = invoke(*TRAIN, "--out", folder)
    assert_refused(again.exit_code, again.stdout, again.stderr, "holds a run, which would be lost")


class FakeWandb:
    """As much of wandb as is called."""

    def __init__(self):
        self.begun, self.logged, self.finished = [], [], 0
        self.errors = type("errors", (), {"UsageError": RuntimeError})

    def init(self, **told):
        self.begun.append(told)
        return self

    def log(self, values, step):
        self.logged.append((step, values))

    def finish(self):
        self.finished += 1


def test_train_tells_wandb_what_it_tells_tensorboard(reach, tmp_path, monkeypatch):
    from adapters.logging.wandb import WandbLog

    fake, folder = FakeWandb(), tmp_path / "run"
    monkeypatch.setitem(sys.modules, "wandb", fake)
    monkeypatch.setattr("adapters.logging.scalars.check_wandb", lambda: None)
    done = invoke(*TRAIN, "--log", "wandb", "--out", folder)
    assert done.exit_code == 0, done.stderr
    (begun,) = fake.begun
    assert (begun["project"], begun["name"], begun["config"]["task"]) == ("mpo", "run", "reach")
    scores = np.mean(json.loads((folder / "scores.json").read_text())["epochs"]["score"], 0)
    np.testing.assert_allclose([values["train/score"] for _, values in fake.logged], scores)
    assert [step for step, _ in fake.logged] == list(range(1, len(scores) + 1))
    assert fake.finished == 1
    WandbLog(tmp_path / "elsewhere" / "run", {})
    assert len({one["id"] for one in fake.begun}) == 2  # another run, of the same name
    assert list((folder / "tensorboard").iterdir())


def test_wandb_that_is_not_there_or_has_no_account_is_a_sentence(tmp_path, monkeypatch):
    from adapters.logging.wandb import WandbLog
    from mpo_core.failures import WorkFailed

    monkeypatch.setattr("adapters.logging.wandb.importlib.util.find_spec", lambda name: None)
    for command in (TRAIN, ("meta-train", "--task", "hopper")):
        refused = invoke(*command, "--log", "wandb")
        assert_refused(refused.exit_code, refused.stdout, refused.stderr, 'pip install "mirror-po[wandb]"')
    refused = invoke(*TRAIN, "--log", "wandbb")
    assert_refused(refused.exit_code, refused.stdout, refused.stderr, "did you mean 'wandb'?")
    fake = FakeWandb()
    fake.init = lambda **_: (_ for _ in ()).throw(RuntimeError("api_key not configured (no-tty).\nmore"))
    monkeypatch.setitem(sys.modules, "wandb", fake)
    with pytest.raises(WorkFailed, match=r"api_key not configured .*set WANDB_MODE=offline"):
        WandbLog(tmp_path / "run", {})


def test_kept_policies_are_the_ones_that_were_judged(reach, tmp_path):
    from mpo_core.evaluation.candidates import Candidate
    from mpo_core.evaluation.comparison import Comparison
    from mpo_core.losses.catalogue import make_objective
    from mpo_core.seeds import Stream
    from mpo_experiments.progress import SilentReporter
    from mpo_experiments.settings.run_config import build_config
    from mpo_experiments.testbed import Testbed, comparison_settings

    settings = comparison_settings(build_config({"task": "reach", "preset": "smoke"}), Stream.SELECTION, 2)
    testbed, kept = Testbed("reach"), []
    curve = testbed.learning_curve(Candidate(make_objective("orpo")), settings, SilentReporter(), kept.append)
    judged = Comparison(testbed.program, testbed.agents, settings)
    one_candidate = jax.tree.map(lambda leaf: leaf[None], kept[0])
    np.testing.assert_array_equal(judged.evaluate(one_candidate, 1.0)[0], curve.return_[:, -1])


def test_data_takes_the_sizes_of_a_preset(tmp_path, monkeypatch):
    monkeypatch.setenv("MPO_CACHE_DIR", str(tmp_path / "cache"))
    from cli.data import FULL, _usual

    assert _usual(None, "hopper", FULL) == FULL
    assert _usual("quick", "halfcheetah", FULL) == (128, 200)
    assert _usual("quick", "hopper", FULL) == (128, 400)
    refused = invoke("data", "build", "--task", "hopper", "--data", "base", "--preset", "tiny")
    assert_refused(refused.exit_code, refused.stdout, refused.stderr, "unknown preset 'tiny'")
