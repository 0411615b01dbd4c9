"""Files that version 0.1.0 wrote are read, and its search is repeated to the byte.

`kept/` was written by commit cb2be81:

    mpo meta-train --task halfcheetah --preset smoke --seed 5
    mpo meta-train --task halfcheetah,hopper --data mixed:0.75,base --preset smoke --seed 6
    mpo benchmark --task halfcheetah --preset smoke --objectives sft,orpo,dpo,tempo --budget 2 --tuning-units 2 \
        --units 2 --seed 1 --out benchmark

and the agents by `helpers.toy_run.save_toy_agents`. Figures, pages and logs are left out.
"""

import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from cli.environment import machine
from helpers.command_line import MPO, invoke
from mpo_experiments.agents.lookup import load_agents, load_card
from mpo_experiments.objectives.named import parse_objective
from mpo_experiments.runs.folder import open_run
from mpo_experiments.runs.report import load_report

KEPT = Path(__file__).parent / "kept"
WRITTEN_ON = "0.10.2-b02dc6dd"
"""Version of jaxlib and kind of processor that the run was made on: elsewhere the last bits of numbers differ."""


def test_a_run_folder_is_read():
    folder, config = open_run(KEPT / "run")
    assert (config.preset, config.seed, str(config.init)) == ("smoke", 5, "orpo")
    assert [record["generation"] for record in folder.metrics()] == [0, 1]
    report = load_report(KEPT / "run")
    (cell,) = report.cells
    assert cell.row("discovered").sampled == json.loads((KEPT / "run/report.json").read_text())["rows"][-1]["sampled"]
    assert parse_objective(str(KEPT / "run")).card()["init"] == "orpo:lam=0.1"


def test_a_run_on_several_cells_is_read():
    config, report = open_run(KEPT / "run-on-several")[1], load_report(KEPT / "run-on-several")
    titles = ["halfcheetah, mixed:0.75", "halfcheetah, base", "hopper, mixed:0.75", "hopper, base"]
    assert [cell.title for cell in config.cells()] == [cell.title for cell in report.cells] == titles


@pytest.mark.parametrize("name", ["run", "run-on-several"])
def test_a_finished_run_is_shown_again(name, tmp_path):
    shutil.copytree(KEPT / name, tmp_path / name)
    for arguments in (("report", tmp_path / name), ("meta-train", "--resume", tmp_path / name)):
        found = invoke(*arguments)
        assert found.exit_code == 0, found.output
        assert "discovered minus" in found.stdout


def test_a_benchmark_folder_goes_on(tmp_path):
    shutil.copytree(KEPT / "benchmark", tmp_path / "benchmark")
    command = json.loads((KEPT / "benchmark/cells/halfcheetah-mixed0.75-w0.1.json").read_text())["command"]
    found = invoke(*command.split()[1:], "--tuning", "fixed", "--only-tables", "--out", tmp_path / "benchmark")
    assert found.exit_code == 0, found.output
    assert (tmp_path / "benchmark/scores.csv").read_bytes() == (KEPT / "benchmark/scores.csv").read_bytes()


def test_an_agents_folder_is_read(reach, monkeypatch):
    monkeypatch.setenv("MPO_AGENTS_DIR", str(KEPT / "agents"))
    assert load_card("reach").token_log_probs is None
    original, target = load_agents("reach")
    assert original.layers[1].kernel.shape == target.layers[1].kernel.shape == (4, 2)


def test_the_same_seed_gives_the_same_bytes(tmp_path):
    """In a process compiled as users': the tests' own compiles more quickly, and rounds otherwise."""
    if machine() != WRITTEN_ON:
        pytest.skip(f"the kept run was made on {WRITTEN_ON}, this is {machine()}")
    compiled = {"XLA_FLAGS": "--xla_force_host_platform_device_count=2", "JAX_DISABLE_MOST_OPTIMIZATIONS": "0"}
    options = ("--task", "halfcheetah", "--preset", "smoke", "--seed", "5", "--out", str(tmp_path))
    subprocess.run([MPO, "meta-train", *options], env=os.environ | compiled, check=True, capture_output=True)
    (found,) = (hashlib.sha256(path.read_bytes()).hexdigest() for path in tmp_path.glob("*/objective.safetensors"))
    assert found == hashlib.sha256((KEPT / "run/objective.safetensors").read_bytes()).hexdigest()
