"""`mpo profile`: what it counts, what it says, and what it refuses. A real profile takes a compilation of its own."""

import dataclasses

import numpy as np
import pytest
from typer.testing import CliRunner

from cli.app import app
from cli.profile import _lines, _table
from mpo_experiments.device_rates import matmul_gflops, matmul_table, steps_by_envs
from mpo_experiments.profiling import Profile, update_flops
from mpo_experiments.settings.run_config import build_config

FOUND = Profile(
    task="hopper", preset="smoke", jobs=6, compile_seconds={"physics": 2.0, "generation": 9.0},
    seconds={"data": 0.1, "inner loops": 0.3, "search": 0.1, "evaluation": 0.5, "generation": 1.0}, bank_seconds=4.0,
    updates_per_second=1000.0, steps_per_second=20_000.0, gflops=50.0, matmul_gflops=200.0, peak_gibibytes=1.5,
    program_gibibytes=None, provenance={},
)  # fmt: skip


def test_the_operations_of_an_update_are_those_of_its_products(toy_original):
    config = build_config({"task": "hopper", "preset": "smoke"})
    (inputs, hidden), (_, outputs) = (layer.kernel.shape for layer in toy_original.layers)
    steps = 2 * config.inner.minibatch * config.rows.length
    # forward 2 a weight, backward 2 for the weights and 2 for what comes in, which the first layer does not need
    first, second = 4 * inputs * hidden, 6 * hidden * outputs
    assert update_flops(toy_original, config) == steps * (first + second)


def test_a_product_of_matrices_has_a_rate():
    assert 0.1 < matmul_gflops() < 1e6


def test_a_device_has_rates_by_size_and_by_episodes_side_by_side(toy_task, toy_original):
    products = matmul_table((64, 128))
    assert list(products) == ["64 default", "64 highest", "128 default", "128 highest"]
    assert min(products.values()) > 0
    steps = steps_by_envs(toy_task, toy_original, (8, 16), 5)
    assert list(steps) == [8, 16]
    assert min(steps.values()) > 0


def test_an_accelerator_is_told_of():
    found = dataclasses.replace(
        FOUND, products={"precision": "highest", "kernel": "xla"}, jobs_at_once=6,
        matmul_by_size={"8192 default": 371_000.0, "8192 highest": 50_000.0}, steps_by_envs={1024: 588e3, 4096: 1.9e6},
    )  # fmt: skip
    lines = "\n".join(_lines(found))
    assert "precision highest, by xla; 6 side by side on a device" in lines
    assert "8192 default 371.0 TFLOP/s, 8192 highest 50.0 TFLOP/s" in lines
    assert "588,000 steps/s at 1,024, 1,900,000 at 4,096" in lines
    assert "Device" not in "\n".join(_lines(FOUND))


def test_the_table_adds_up_and_fits():
    table = _table(FOUND)
    shares = [int(row[2].rstrip("%")) for row in table.rows[:-1]]
    assert sum(shares) == 100
    assert FOUND.share_of_matmul == pytest.approx(0.25)
    assert any("25% of a float32 matrix product" in line for line in _lines(FOUND))
    assert np.isclose(sum(FOUND.seconds[name] for name in FOUND.seconds if name != "generation"), 1.0)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--task", "hoper"), "hopper"),
        (("--task", "hopper", "--preset", "quik"), "quick"),
        (("--task", "hopper", "--set", "rows.lenght=3"), "length"),
        (("--task", "hopper", "--trace", "/dev/null/x"), "--trace"),
    ],
)
def test_mistakes_are_refused(arguments, says):
    found = CliRunner().invoke(app, ["profile", *arguments])
    assert (found.exit_code, found.stdout) == (2, "")
    assert says in found.stderr
    assert len(found.stderr.strip().splitlines()) == 1
