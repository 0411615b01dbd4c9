"""What the machine lacks or the environment says otherwise, in one sentence."""

import os
import subprocess
import sys

import pytest

PROGRAM = "import cli; cli.main()"


def mpo(*arguments, stdout=subprocess.PIPE, **variables):
    environment = {name: value for name, value in os.environ.items() if name != "JAX_COMPILATION_CACHE_DIR"}
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, *map(str, arguments)], stdout=stdout, stderr=subprocess.PIPE, text=True,
        env=environment | {name: str(value) for name, value in variables.items()}, timeout=120, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("platform", ["cuda", "nosuch"])
def test_a_device_that_is_not_there_is_named_before_any_work(platform, tmp_path):
    found = mpo(
        "meta-train", "--task", "halfcheetah", "--preset", "smoke", "--out", tmp_path / "runs", JAX_PLATFORMS=platform
    )
    assert (found.returncode, found.stdout) == (2, "")
    assert found.stderr.splitlines()[-1] == (
        f"Error: JAX_PLATFORMS={platform}: JAX finds no such device here: unset the variable, or set it to cpu"
    )
    assert "Traceback" not in found.stderr
    assert not (tmp_path / "runs").exists()


def test_double_precision_is_switched_off():
    code = "import cli.environment as e; e.prepare(); import jax; print(jax.config.jax_enable_x64)"
    variables = os.environ | {"JAX_ENABLE_X64": "1"}
    found = subprocess.run([sys.executable, "-c", code], env=variables, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"
    assert found.stderr == "Warning: JAX_ENABLE_X64 is switched off: mpo computes in single precision.\n"


def test_in_a_notebook_output_is_plain_and_figures_need_no_kernel():
    told = {"FORCE_COLOR": "1", "MPLBACKEND": "module://no_such_backend"}
    code = (
        "import cli.environment as e; e.prepare(); import matplotlib; from cli.display import console; "
        "print(matplotlib.get_backend(), console().is_terminal)"
    )
    for notebook, said in ({"JPY_PARENT_PID": "1"}, ["agg", "False"]), ({}, ["module://no_such_backend", "True"]):
        variables = {name: value for name, value in os.environ.items() if name != "JPY_PARENT_PID"} | told | notebook
        found = subprocess.run([sys.executable, "-c", code], env=variables, capture_output=True, text=True)
        assert found.stdout.split() == said, found.stderr


def test_a_cache_that_cannot_be_written_is_done_without(tmp_path):
    (tmp_path / "file").touch()
    found = mpo("list", "strategies", MPO_CACHE_DIR=tmp_path / "file" / "cache")
    assert found.returncode == 0
    assert "snes" in found.stdout
    assert found.stderr.startswith("Warning: MPO_CACHE_DIR: ")
    assert "programs are compiled anew each time" in found.stderr
    refused = mpo("data", "build", "--task", "hopper", "--data", "base", MPO_CACHE_DIR=tmp_path / "file" / "cache")
    assert refused.returncode == 2
    assert "Error: MPO_CACHE_DIR: cache" in refused.stderr


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a device of Linux")
@pytest.mark.parametrize("arguments", [("list", "strategies"), ("list", "data", "--json"), ("--help",)])
def test_a_full_output_is_one_sentence(arguments):
    with open("/dev/full", "w") as full:
        found = mpo(*arguments, stdout=full)
    assert found.returncode == 1
    assert found.stderr == "Error: standard output: No space left on device\n"
