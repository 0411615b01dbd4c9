"""Commands that the benchmarks run as processes of their own."""

import pytest
from benchmarks.run_mpo import run_mpo


def test_a_command_that_fails_ends_the_caller_with_its_status_and_says_nothing_more(capfd):
    with pytest.raises(SystemExit) as ended:
        run_mpo(["list", "task"])
    assert ended.value.code == 2
    told = capfd.readouterr().err
    assert "Traceback" not in told
    assert "did you mean" in told.lower() or "no such command" in told.lower()


def test_a_command_runs_in_its_folder(tmp_path, capfd):
    run_mpo(["list", "data"], tmp_path)
    assert "noisy" in capfd.readouterr().out
