"""What happens on shared machines, to a toy search through the command line: nothing is lost, and nobody is blamed."""

import functools
import json
import os
import shutil
import signal
import subprocess
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from typer.testing import CliRunner

from adapters.storage import files
from adapters.storage.run_folder import RunFolder
from cli.app import app
from helpers.toy_disks import PretendedDisk, TmpfsDisk
from helpers.toy_run import ARGUMENTS, EXAMPLE, assert_same_results, generations, save_toy_agents, the_run
from mpo_core.evaluation.learning_curve import LearningCurve
from mpo_experiments.runs.report import CellReport, Row, RunReport
from mpo_experiments.search import build as search_build, meta_train, program as search
from mpo_experiments.search.program import SearchProgram
from mpo_experiments.tasks import registry as tasks
from mpo_experiments.testbed import Testbed

GENERATIONS = 6
RESUME = "mpo meta-train --resume "


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    """The task and its agents in this process; one compiled search for all runs, and no final comparison."""
    folder, patch = tmp_path_factory.mktemp("agents"), pytest.MonkeyPatch()
    save_toy_agents(folder)
    patch.syspath_prepend(EXAMPLE)
    patch.setenv("MPO_AGENTS_DIR", str(folder))
    from mpo_reach.task import TASK

    patch.setitem(tasks.TASKS, TASK.name, TASK)
    patch.setattr(meta_train, "Testbed", functools.cache(meta_train.Testbed))
    patch.setattr(meta_train.MetaTraining, "_report", a_report)
    patch.setattr(meta_train.MetaTraining, "_draw", lambda self, discovered, bank: None)
    yield
    patch.undo()


@pytest.fixture
def compiled(task, monkeypatch):
    """All searches of these tests are of one configuration and share its program."""
    monkeypatch.setattr(search_build, "SearchProgram", shared_program)


@functools.cache
def the_program():
    return []


def shared_program(*arguments):
    if not the_program():
        program = SearchProgram(*arguments)
        program.compiled = lambda banks: program.step
        the_program().append(program)
    return the_program()[0]


def a_report(self, discovered):
    rows = [Row(name=name, note="", sampled=[0, 1], mode=[0, 1], clamped=0) for name in ("sft", "start", "discovered")]
    cell = CellReport(
        task="reach", data=self.config.kinds[0], preset="smoke", init="tempo", units=2, seed=0, original=0, target=1,
        rows=rows,
    )  # fmt: skip
    return RunReport(cells=[cell])


def invoke(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)


@pytest.fixture(scope="module")
def whole(task, tmp_path_factory):
    """The folder of a run that nothing happened to."""
    patch, out = pytest.MonkeyPatch(), tmp_path_factory.mktemp("whole")
    patch.setattr(search_build, "SearchProgram", shared_program)
    found = invoke(*ARGUMENTS, "--out", out)
    patch.undo()
    assert found.exit_code == 0, found.output
    assert generations(the_run(out)) == list(range(GENERATIONS))
    return the_run(out)


@pytest.fixture
def at_generation(monkeypatch):
    """Does something once, before a method of the run folder is called in a generation (counted from 0)."""

    def install(method, generation, action):
        original, calls = getattr(RunFolder, method), []

        def wrapped(self, *arguments):
            calls.append(method)
            if len(calls) == generation + 1:
                action(self)
            return original(self, *arguments)

        monkeypatch.setattr(RunFolder, method, wrapped)

    return install


def assert_one_message(found, code, *says):
    assert found.exit_code == code, found.output
    lines = found.stderr.strip().splitlines()
    assert len(lines) == 1, found.stderr
    assert all(text in lines[0] for text in says), lines[0]


def assert_resumes(run, whole):
    """The run goes on, and ends as if nothing had happened."""
    found = invoke("meta-train", "--resume", run)
    assert found.exit_code == 0, found.output
    assert_same_results(run, whole)
    return found


@pytest.fixture
def disk(tmp_path, monkeypatch):
    try:
        made = TmpfsDisk(tmp_path)
    except (subprocess.CalledProcessError, OSError):
        made = PretendedDisk(tmp_path, monkeypatch)
    yield made
    made.remove()


@pytest.mark.parametrize("method", ["append_metrics", "save_checkpoint"])
def test_a_full_disk(compiled, whole, disk, at_generation, method):
    at_generation(method, 3, disk.make_full)
    found = invoke(*ARGUMENTS, "--out", disk.path)
    run = the_run(disk.path)
    assert_one_message(found, 1, "Error: ", str(run), "No space left on device", RESUME)
    assert not list(run.rglob("*.tmp"))
    again = invoke("meta-train", "--resume", run)  # still full
    assert again.exit_code == 1, again.output
    assert "No space left on device" in again.stderr
    disk.free()
    assert_resumes(run, whole)


def test_a_folder_that_becomes_read_only(compiled, whole, tmp_path, monkeypatch, at_generation):
    disk = PretendedDisk(tmp_path, monkeypatch)  # Linux makes none read-only that is being written to
    at_generation("append_metrics", 2, disk.make_read_only)
    found = invoke(*ARGUMENTS, "--out", disk.path)
    run = the_run(disk.path)
    assert_one_message(found, 1, str(run), "Read-only file system", RESUME)
    disk.make_writable()
    assert_resumes(run, whole)


def test_a_finished_run_is_shown_from_a_read_only_disk(compiled, whole, disk):
    run = shutil.copytree(whole, disk.path / "run")
    disk.make_read_only(None)
    found = invoke("meta-train", "--resume", run)
    disk.make_writable()
    assert found.exit_code == 0, found.output
    assert "Finished run on reach" in found.stdout
    assert "discovered minus" in found.stdout


@pytest.mark.parametrize("method", ["append_metrics", "save_checkpoint"])
def test_a_folder_that_is_removed_does_not_come_back(compiled, tmp_path, at_generation, method):
    at_generation(method, 2, lambda folder: shutil.rmtree(folder.path))
    found = invoke(*ARGUMENTS, "--out", tmp_path)
    assert_one_message(found, 1, "was removed or replaced while this run was writing to it")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_replaced_is_left_alone(compiled, tmp_path, at_generation):
    def replace(folder):
        shutil.rmtree(folder.path)
        folder.path.mkdir()
        (folder.path / ".lock").touch()

    at_generation("append_metrics", 2, replace)
    found = invoke(*ARGUMENTS, "--out", tmp_path)
    assert_one_message(found, 1, "was removed or replaced")
    assert [path.name for path in next(tmp_path.iterdir()).iterdir()] == [".lock"]


def test_a_clock_that_is_put_back_changes_nothing(compiled, whole, tmp_path, monkeypatch, at_generation):
    now, jumps = time.time, iter(range(10**6))
    monkeypatch.setattr(time, "time", lambda: now() - 3600 * next(jumps))
    at_generation("save_checkpoint", 3, lambda folder: os.kill(os.getpid(), signal.SIGTERM))
    assert invoke(*ARGUMENTS, "--out", tmp_path).exit_code == 143
    assert_resumes(the_run(tmp_path), whole)
    assert len(list(the_run(tmp_path).glob("tensorboard/*"))) == 2


@pytest.mark.parametrize(
    ("which", "code", "says"), [("SIGINT", 130, "Interrupted. "), ("SIGTERM", 143, "Terminated. ")]
)
def test_a_signal_waits_for_the_file_and_a_second_one_tears_nothing(
    compiled, whole, tmp_path, monkeypatch, at_generation, which, code, says
):
    fsync = os.fsync

    def impatient(handle):
        for _ in range(3):
            os.kill(os.getpid(), getattr(signal, which))
        fsync(handle)

    at_generation("save_checkpoint", 2, lambda folder: monkeypatch.setattr(files.os, "fsync", impatient))
    found = invoke(*ARGUMENTS, "--out", tmp_path)
    monkeypatch.setattr(files.os, "fsync", fsync)
    run = the_run(tmp_path)
    assert_one_message(found, code, says, f"Continue with: {RESUME}{run}")
    assert (run / "checkpoints" / "000003.json").exists()  # begun before the signal, whole after it
    assert generations(run) == [0, 1, 2]
    assert not list(run.rglob("*.tmp"))
    assert_resumes(run, whole)


def test_a_signal_while_compiling(task, whole, tmp_path, monkeypatch):
    def interrupted(*arguments, **options):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(1)  # it reaches the thread that waits for this one
        raise AssertionError("the signal was lost")

    with monkeypatch.context() as patch:
        patch.setattr(search, "job_returns", interrupted)
        found = invoke(*ARGUMENTS, "--out", tmp_path)
    assert_one_message(found, 130, "Interrupted. ", RESUME)
    monkeypatch.setattr(search_build, "SearchProgram", shared_program)
    assert_resumes(the_run(tmp_path), whole)


def test_a_signal_in_the_final_report(compiled, whole, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(meta_train.MetaTraining, "_report", lambda self, found: os.kill(os.getpid(), signal.SIGTERM))
        found = invoke(*ARGUMENTS, "--out", tmp_path)
    assert_one_message(found, 143, "Terminated. ", RESUME)
    assert_resumes(the_run(tmp_path), whole)


def test_a_signal_before_the_first_generation(compiled, whole, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(meta_train.MetaTraining, "__init__", lambda *given: os.kill(os.getpid(), signal.SIGINT))
        found = invoke(*ARGUMENTS, "--out", tmp_path)
    assert_one_message(found, 130, "Interrupted. ", RESUME)
    assert_resumes(the_run(tmp_path), whole)


def test_leftovers_of_killed_writers_go(compiled, whole, tmp_path, at_generation):
    at_generation("append_metrics", 2, lambda folder: os.kill(os.getpid(), signal.SIGTERM))
    assert invoke(*ARGUMENTS, "--out", tmp_path).exit_code == 143
    run = the_run(tmp_path)
    for name in (".config.json.77.tmp", "checkpoints/.000003.safetensors.77.tmp"):
        (run / name).write_text("half a fi")
    with (run / "metrics.jsonl").open("a") as file:
        file.write('{"generation": 3, "mea')
    assert_resumes(run, whole)


def test_a_torn_checkpoint_is_told_of(compiled, whole, tmp_path):
    run = shutil.copytree(whole, tmp_path / "run")
    for name in ("report.json", "objective.json", "objective.safetensors"):
        (run / name).unlink()
    newest = run / "checkpoints" / f"{GENERATIONS:06d}.safetensors"
    newest.write_bytes(newest.read_bytes()[:-1])
    found = assert_resumes(run, whole)
    flat = " ".join(found.stdout.split())
    assert "warning: checkpoint 000006 cannot be used (it does not match its card): the one before is tried" in flat


def test_two_processes_on_a_folder(compiled, whole, tmp_path):
    run = shutil.copytree(whole, tmp_path / "run")
    other = RunFolder(run)
    other.lock()
    assert invoke("meta-train", "--resume", run).exit_code == 0  # finished: nothing is written
    (run / "report.json").unlink()
    found = invoke("meta-train", "--resume", run)
    assert_one_message(found, 2, "another mpo process is writing to it")
    other.unlock()
    assert_resumes(run, whole)


@pytest.mark.parametrize(
    ("raised", "says"),
    [
        (jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 9 bytes"), "device is out of memory"),
        (jax.errors.JaxRuntimeError("INTERNAL: something\nbroke"), "failed on cpu (INTERNAL: something broke)"),
        (MemoryError(), "out of memory"),
    ],
)
def test_a_failing_device_gets_a_sentence(compiled, whole, tmp_path, monkeypatch, raised, says):
    def fail(self, program, state, generation, bank):
        raise raised

    with monkeypatch.context() as patch:
        patch.setattr(meta_train.MetaTraining, "_generation", fail)
        found = invoke(*ARGUMENTS, "--out", tmp_path)
    assert_one_message(found, 1, "Error: ", says, RESUME)
    assert_resumes(the_run(tmp_path), whole)


def test_a_mistake_of_this_program_keeps_its_traceback(compiled, tmp_path, monkeypatch):
    def fail(self, program, state, generation, bank):
        raise RuntimeError("ours")

    monkeypatch.setattr(meta_train.MetaTraining, "_generation", fail)
    with pytest.raises(RuntimeError, match="ours"):
        invoke(*ARGUMENTS, "--out", tmp_path)


def test_a_search_whose_members_all_fail_stops_with_advice(task, tmp_path, monkeypatch):
    real = search.job_returns
    monkeypatch.setattr(search, "job_returns", lambda *given, **options: jnp.nan * real(*given, **options))
    found = invoke(*ARGUMENTS, "--out", tmp_path)
    run = the_run(tmp_path)
    assert_one_message(found, 1, "generation 1: all 8 members failed", "smaller strategy.sigma (now 1)", RESUME)
    assert "failed 8" in found.stdout
    (record,) = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert (record["failed"], record["mean"], record["best"]) == (8, None, None)
    again = invoke("meta-train", "--resume", run)
    assert_one_message(again, 1, "generation 1: all 8 members failed")
    assert generations(run) == [0]


def test_later_failure_keeps_the_generations_before(compiled, whole, tmp_path, monkeypatch):
    real = meta_train.MetaTraining._generation

    def fail_at_three(self, program, state, generation, bank):
        after, record = real(self, program, state, generation, bank)
        return after, record | ({"failed": 8, "mean": None} if generation == 3 else {})

    with monkeypatch.context() as patch:
        patch.setattr(meta_train.MetaTraining, "_generation", fail_at_three)
        found = invoke(*ARGUMENTS, "--out", tmp_path)
    run = the_run(tmp_path)
    assert_one_message(found, 1, "generation 4: all 8 members failed")
    assert sorted(path.stem for path in run.glob("checkpoints/*.json"))[-1] == "000003"
    assert_resumes(run, whole)


def test_a_search_distribution_with_nan_is_not_kept(compiled, whole, tmp_path, monkeypatch):
    real = meta_train.MetaTraining._generation

    def poison_at_three(self, program, state, generation, bank):
        after, record = real(self, program, state, generation, bank)
        if generation == 3:
            after = jax.tree.map(lambda leaf: leaf * jnp.nan if leaf.dtype == jnp.float32 else leaf, after)
        return after, record

    with monkeypatch.context() as patch:
        patch.setattr(meta_train.MetaTraining, "_generation", poison_at_three)
        found = invoke(*ARGUMENTS, "--out", tmp_path)
    assert_one_message(found, 1, "generation 4: the step after it left the search distribution with NaN")
    assert_resumes(the_run(tmp_path), whole)


def test_training_that_diverges_says_where(task, tmp_path, monkeypatch):
    by_epoch = np.array([[40.0, np.nan], [40.0, 41.0]])
    curve = LearningCurve(
        return_=by_epoch, final_mode=np.array([np.nan, 41.0]), loss=by_epoch, accuracy=by_epoch, margin=by_epoch,
        chosen_mean=by_epoch, rejected_mean=by_epoch, clamped=np.zeros((2, 2)), finite=by_epoch,
        first_bad=np.array([5, -1]),
    )  # fmt: skip
    monkeypatch.setattr(Testbed, "learning_curve", lambda *given: curve)
    options = ("--task", "reach", "--preset", "smoke", "--objective", "dpo", "--units", "2", "--sft-epochs", "0")
    found = invoke("train", *options, "--out", tmp_path / "scores.json")
    assert found.exit_code == 0, found.output
    flat = " ".join(found.stdout.split())
    assert "Diverged in 1 of 2 units: first at update 6 (epoch 2), whose loss or gradient is not finite" in flat
    written = json.loads((tmp_path / "scores.json").read_text(), parse_constant=pytest.fail)
    assert written["first_bad_update"] == [5, -1]
    assert written["epochs"]["loss"] == [[40.0, None], [40.0, 41.0]]
