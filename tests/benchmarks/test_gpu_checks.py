"""The script that a GPU machine runs: here tiny, on CPUs, on a task that compiles in a blink; every section works."""

import json
import subprocess
import sys
from pathlib import Path

from helpers.toy_run import environment

ROOT = Path(__file__).parents[2]
SECTIONS = {"device", "rollouts", "comparisons", "inner", "paper", "cell", "precision"}
"""All but the usual way, which is written for brax."""


def test_every_section_measures_and_is_written_down(tmp_path):
    out, own = tmp_path / "out", environment(tmp_path) | {"MPO_BENCH": "tiny"}
    command = (sys.executable, "-m", "benchmarks.gpu_checks", "--task", "reach", "--out", out, "--minutes", "1000")
    done = subprocess.run(command, cwd=ROOT, env=own, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    found = json.loads((out / "checks-cpu.json").read_text())
    assert found["left_out"] == {}
    assert {one["section"] for one in found["measured"]} == SECTIONS
    assert all(one["value"] == one["value"] for one in found["measured"])  # no NaN
    assert all(one["value"] > 0 for one in found["measured"] if one["unit"] not in ("normalised score",))
    written = (out / "checks-cpu.md").read_text()
    assert written.startswith("`python -m benchmarks.gpu_checks --task reach")
    assert "inner: width 64, 4 members, bfloat16, xla" in written


def test_a_section_is_left_out_where_time_does_not_suffice(tmp_path):
    out, own = tmp_path / "out", environment(tmp_path) | {"MPO_BENCH": "tiny"}
    command = (sys.executable, "-m", "benchmarks.gpu_checks", "--task", "reach", "--out", out, "--minutes", "0.1")
    done = subprocess.run(command, cwd=ROOT, env=own, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert set(json.loads((out / "checks-cpu.json").read_text())["left_out"]) == {*SECTIONS, "usual"}
    assert "Not measured: paper (no time left: it may take 90 s)." in (out / "checks-cpu.md").read_text()
