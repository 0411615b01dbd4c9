"""Real processes, killed at any moment and resumed, end as one that was left alone."""

import random
import signal
import subprocess
import time

import pytest

from helpers.toy_run import ARGUMENTS as TOY, assert_same_results, begin, environment, the_run

ARGUMENTS = (*TOY, "--set", "search.bank_refresh=1")
"""A toy run with fresh pairs in every generation."""
SMOKE = ("meta-train", "--task", "halfcheetah", "--preset", "smoke", "--seed", "1", "--generations", "8")
WAIT = 600
WHOLE = ("objective.safetensors", "report.json", "figures/maps.png")
AT_WRITE = (
    "import itertools, os; c, f = itertools.count(1), os.fsync; "
    "os.fsync = lambda handle: os.kill(os.getpid(), 9) if next(c) == {number} else f(handle)"
)
"""Kills the process in the middle of the file that it writes as the so-manieth."""


@pytest.fixture(scope="module")
def variables(tmp_path_factory):
    return environment(tmp_path_factory.mktemp("plugin"))


def arguments_for(fresh, out):
    """Of a run that begins, or goes on where it was killed."""
    run = the_run(out)
    return (*fresh, "--out", out) if run is None else ("meta-train", "--resume", run)


def ends(process, folder, seconds):
    """Lets a process run so long and kills it then; whether it came to its end."""
    try:
        code = process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        code = process.wait()
    said = (folder / "stderr").read_text()
    assert code in (0, -signal.SIGKILL), said
    assert "Traceback" not in said
    return code == 0


def whole_run(fresh, variables, folder):
    """An uninterrupted run, and how long one takes once its programs are in the cache."""
    assert ends(begin((*fresh, "--out", folder / "cold"), variables, folder), folder, WAIT)
    began = time.monotonic()
    assert ends(begin((*fresh, "--out", folder / "warm"), variables, folder), folder, WAIT)
    seconds = time.monotonic() - began
    cold, warm = the_run(folder / "cold"), the_run(folder / "warm")
    assert_same_results(warm, cold, WHOLE)  # same seed, same machine: same bytes
    return warm, seconds


@pytest.fixture(scope="module")
def toy_whole(variables, tmp_path_factory):
    return whole_run(ARGUMENTS, variables, tmp_path_factory.mktemp("whole"))


def test_a_killed_run_ends_as_one_that_was_left_alone(toy_whole, variables, tmp_path):
    whole, seconds = toy_whole
    draw, out = random.Random(0), tmp_path / "out"
    for number in (draw.randint(8, 14), draw.randint(10, 20)):  # six writes a generation
        process = begin(arguments_for(ARGUMENTS, out), variables, tmp_path, AT_WRITE.format(number=number))
        assert not ends(process, tmp_path, WAIT)
    process = begin(arguments_for(ARGUMENTS, out), variables, tmp_path)
    assert not ends(process, tmp_path, seconds * draw.uniform(0.2, 0.5))
    assert ends(begin(arguments_for(ARGUMENTS, out), variables, tmp_path), tmp_path, WAIT)
    assert_same_results(the_run(out), whole, WHOLE)


@pytest.mark.slow
def test_ctrl_c_twice_and_sigterm(toy_whole, variables, tmp_path):
    whole, seconds = toy_whole
    out = tmp_path / "out"
    for numbers, code, word in (((signal.SIGINT, signal.SIGINT), 130, "Interrupted"), ((signal.SIGTERM,), 143, "Term")):
        process = begin(arguments_for(ARGUMENTS, out), variables, tmp_path)
        wait_for_start(tmp_path / "stdout", seconds)
        for number in numbers:
            process.send_signal(number)
            time.sleep(0.1)
        assert process.wait(WAIT) == code
        said = (tmp_path / "stderr").read_text().strip()
        assert said.startswith(word)
        assert said.endswith(f"Continue with: mpo meta-train --resume {the_run(out)}")
        assert "\n" not in said
    assert ends(begin(arguments_for(ARGUMENTS, out), variables, tmp_path), tmp_path, WAIT)
    assert_same_results(the_run(out), whole, WHOLE)


def wait_for_start(stdout, seconds):
    """Until a process has named its run folder, and a little longer: it is importing, tracing or compiling."""
    began = time.monotonic()
    while "Run folder" not in stdout.read_text() and time.monotonic() < began + WAIT:
        time.sleep(0.05)
    time.sleep(seconds / 6)


@pytest.mark.slow
@pytest.mark.parametrize(("how", "kills"), [("at any moment", 50), ("in the middle of a write", 25)])
def test_many_kills_of_a_smoke_search(variables, tmp_path, how, kills):
    """Runs are killed and resumed until they end, one after another, until so many processes were killed."""
    whole, seconds = whole_run(SMOKE, variables, tmp_path)
    draw, killed, finished = random.Random(1), 0, 0
    while killed < kills or not finished:
        out = tmp_path / f"run {finished}"
        if how == "at any moment":
            process = begin(arguments_for(SMOKE, out), variables, tmp_path)
            ended = ends(process, tmp_path, draw.uniform(0, 1.1 * seconds))
        else:
            before = AT_WRITE.format(number=draw.randint(1, 40))
            ended = ends(begin(arguments_for(SMOKE, out), variables, tmp_path, before), tmp_path, WAIT)
        killed += not ended
        if killed == kills and not ended:
            ended = ends(begin(arguments_for(SMOKE, out), variables, tmp_path), tmp_path, WAIT)
        if ended:
            assert_same_results(the_run(out), whole, WHOLE)
            finished += 1
