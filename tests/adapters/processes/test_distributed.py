"""One run on several processes or many devices: the same scores as on one, one run folder, and an end to failures."""

import json
import os
import socket
import subprocess
import sys

import numpy as np
import pytest
from typer.testing import CliRunner

from adapters.processes.process_group import ProcessGroup, process_group_of
from cli.app import app
from helpers.toy_run import ARGUMENTS, PROGRAM, begin, environment, generations, the_run

SEARCH, GENERATIONS = ARGUMENTS, int(ARGUMENTS[-1])
WAIT = 600


@pytest.fixture(scope="module")
def variables(tmp_path_factory):
    return environment(tmp_path_factory.mktemp("plugin"))


@pytest.fixture(scope="module")
def alone(variables, tmp_path_factory):
    """A run of one process with two devices."""
    folder = tmp_path_factory.mktemp("alone")
    assert begin((*SEARCH, "--out", "out"), variables, folder).wait(WAIT) == 0, (folder / "stderr").read_text()
    return the_run(folder / "out")


def begin_team(arguments, variables, folder, before=("pass", "pass")):
    """Two processes on loopback, with a folder each for what they say; run folders lie in that of process 0."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    meeting = ("--distributed", "--coordinator", f"127.0.0.1:{port}", "--processes", 2, "--process")
    folders = [folder / str(number) for number in range(2)]
    for own in folders:
        own.mkdir(exist_ok=True)
    return [begin((*arguments, *meeting, number), variables, own, before[number]) for number, own in enumerate(folders)]


def records(run):
    """Scores of every generation, without what differs from run to run."""
    found = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in record.items() if name != "seconds"} for record in found]


def assert_close(run, other):
    """Same scores to what rounding allows, in the search and in the final table."""
    for one, two in zip(records(run), records(other), strict=True):
        assert one.keys() == two.keys()
        np.testing.assert_allclose(list(one.values()), list(two.values()), rtol=1e-4, atol=1e-5)
    tables = [json.loads((path / "report.json").read_text())["cells"][0]["rows"] for path in (run, other)]
    for one, two in zip(*tables, strict=True):
        np.testing.assert_allclose(one["sampled"], two["sampled"], rtol=1e-3, atol=1e-4)


def test_two_processes_score_as_one(alone, variables, tmp_path):
    process_group = begin_team((*SEARCH, "--out", "out"), variables, tmp_path)
    codes = [process.wait(WAIT) for process in process_group]
    assert codes == [0, 0], [(tmp_path / name / "stderr").read_text() for name in "01"]
    assert_close(the_run(tmp_path / "0" / "out"), alone)
    assert len(list((tmp_path / "0" / "out").iterdir())) == 1
    assert sorted(path.name for path in (tmp_path / "1").iterdir()) == ["stderr", "stdout"]
    assert (tmp_path / "1" / "stdout").read_text() == ""
    assert "Gloo" not in (tmp_path / "0" / "stdout").read_text()


KILLED = (
    "import itertools, os; c, f = itertools.count(1), os.fsync; "
    "os.fsync = lambda handle: os.kill(os.getpid(), 9) if next(c) == 8 else f(handle)"
)
"""In the middle of the second or third generation: the scratch folder is written to as a run folder is."""


@pytest.mark.slow
def test_a_killed_process_ends_the_run_in_one_sentence_and_it_resumes(alone, variables, tmp_path):
    process_group = begin_team((*SEARCH, "--out", "out"), variables, tmp_path, before=("pass", KILLED))
    assert [process.wait(WAIT) for process in process_group] == [1, -9]
    said = (tmp_path / "0" / "stderr").read_text()
    assert "Traceback" not in said
    assert "another process of the run has ended" in said.strip().splitlines()[-1]
    run = the_run(tmp_path / "0" / "out")
    assert 0 < len(generations(run)) < GENERATIONS
    resumed = begin_team(("meta-train", "--resume", run), variables, tmp_path)
    assert [process.wait(WAIT) for process in resumed] == [0, 0]
    assert_close(run, alone)


def test_eight_devices_score_as_two(alone, variables, tmp_path):
    eight = variables | {"XLA_FLAGS": f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count=8"}
    assert begin((*SEARCH, "--out", "out"), eight, tmp_path).wait(WAIT) == 0, (tmp_path / "stderr").read_text()
    run = the_run(tmp_path / "out")
    assert json.loads((run / "config.json").read_text())["provenance"]["devices"]["count"] == 8
    assert_close(run, alone)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--process", "0"), "add it"),
        (("--distributed", "--process", "0"), "name all three"),
        (("--distributed", "--coordinator", "here", "--processes", "2", "--process", "0"), "HOST:PORT"),
        (("--distributed", "--coordinator", "here:99999", "--processes", "2", "--process", "0"), "HOST:PORT"),
        (("--distributed", "--coordinator", "here:99", "--processes", "2", "--process", "2"), "between 0 and 1"),
        (("--distributed", "--coordinator", "here:99", "--processes", "0", "--process", "0"), "--processes"),
    ],
)
def test_mistakes_are_refused(options, says):
    found = CliRunner().invoke(app, ["meta-train", "--task", "hopper", *options])
    assert (found.exit_code, found.stdout) == (2, "")
    assert says in found.stderr
    assert len(found.stderr.strip().splitlines()) == 1


def test_a_team_is_named_or_detected():
    assert process_group_of(False, None, None, None) is None
    assert ProcessGroup().detected
    assert process_group_of(True, "node1:123", 3, 2) == ProcessGroup("node1:123", 3, 2)


def start_alone(variables, *options, before="pass"):
    command = [sys.executable, "-c", PROGRAM.format(before=before), "meta-train", "--task", "reach", *options]
    return subprocess.run(command, env=variables, capture_output=True, text=True, timeout=WAIT, check=False)


def test_without_a_scheduler_the_meeting_point_must_be_named(variables, tmp_path):
    found = start_alone(variables, "--distributed", "--out", str(tmp_path / "out"))
    assert found.returncode == 2
    assert found.stderr.startswith("Error: --distributed: no cluster is found")
    assert len(found.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_a_port_that_is_taken_is_refused(variables):
    with socket.socket() as taken:
        taken.bind(("", 0))
        taken.listen()
        where = f"127.0.0.1:{taken.getsockname()[1]}"
        options = ("--distributed", "--coordinator", where, "--processes", "2", "--process", "0")
        found = start_alone(variables, *options)
    assert found.returncode == 2
    assert "cannot be opened" in found.stderr.strip().splitlines()[-1]


def test_a_coordinator_that_does_not_answer_is_reported(variables):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        where = f"127.0.0.1:{free.getsockname()[1]}"
    options = ("--distributed", "--coordinator", where, "--processes", "2", "--process", "1")
    found = start_alone(variables, *options, before="import adapters.processes.distributed as d; d.PATIENCE = 2")
    assert found.returncode == 1, found.stderr
    assert "did not all meet" in found.stderr.strip().splitlines()[-1]
    assert "Traceback" not in found.stderr
