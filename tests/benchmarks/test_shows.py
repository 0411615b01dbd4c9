"""`python -m benchmarks.shows`: its promises at tiny size, so that a change elsewhere that breaks one is seen."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.toy_run import environment

ROOT = Path(__file__).parents[2]
KEPT_FOR = {1: 4, 2: 2, 3: 2, 4: 5, 5: 2}
"""Figures of each promise; 6 is a test by itself, 7 is tried by test_gpu_checks.py."""


@pytest.mark.slow
@pytest.mark.parametrize("promise", KEPT_FOR)
def test_a_promise_is_measured(tmp_path, promise):
    command = (sys.executable, "-m", "benchmarks.shows", str(promise), "--json", tmp_path / "shows.json")
    own = environment(tmp_path) | {"MPO_BENCH": "tiny"}
    own.pop("MPO_AGENTS_DIR")
    done = subprocess.run(command, cwd=ROOT, env=own, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    shown = json.loads((tmp_path / "shows.json").read_text())["shown"]
    assert len(shown) == KEPT_FOR[promise]
    assert {one["promise"] for one in shown} == {promise}
    assert all(one["measured"] > 0 for one in shown)


def test_the_log_and_the_checkpoint_of_a_generation_have_a_cost(make_program, monkeypatch):
    """Promise 5 on a search without physics: what broke when runs began to have several cells."""
    from benchmarks.sizes import quick_bench

    from benchmarks import shows

    state = make_program().start()
    assert 0 < shows.overhead_seconds(quick_bench(), state) < 60
