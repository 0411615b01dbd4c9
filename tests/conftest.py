"""Two CPU devices, quick compilation and a cache, before anything starts JAX; toy fixtures that compile in a blink."""

import gc
import os
import signal
import tempfile
from pathlib import Path

os.environ["XLA_FLAGS"] = (
    f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=2 --xla_cpu_use_fusion_emitters=false"
).strip()
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")  # tests compile much and compute little
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", os.path.join(tempfile.gettempdir(), "mpo-test-programs"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from matplotlib.figure import Figure

from helpers.figures import save_whole
from helpers.reach import reach as reach
from helpers.toy_search import make_program as make_program
from helpers.toy_task import TOY_HORIZON, ToyTask, toy_policy
from mpo_core.data.generate_pairs import generate_pairs, stack_agents
from mpo_core.data.pair_bank import label_pairs
from mpo_core.data.specification import parse_data_spec
from mpo_core.rollout.program import RolloutProgram
from mpo_core.settings import RowSettings

MAPS, MOST_MAPS = Path("/proc/self/maps"), 30_000
"""Linux gives a process 65,530 maps of memory. Every program takes some; where none is left, JAX crashes."""

signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever runs the tests in the background has it ignored


@pytest.fixture(autouse=True)
def handlers():
    """Signal handlers as they were, after each test: an interruption leaves its own in place for the way out."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.getsignal(number) for number in numbers]
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


@pytest.fixture(scope="session", autouse=True)
def whole_figures():
    """Every figure that a test saves holds all that is drawn on it: no title, label or legend is cut off."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Figure, "savefig", save_whole)
        yield


@pytest.fixture(scope="module", autouse=True)
def programs_let_go():
    """Lets compiled programs go, after a file of tests, once they take half of the memory maps that there are."""
    yield
    if MAPS.exists() and MAPS.read_bytes().count(b"\n") > MOST_MAPS:
        jax.clear_caches()
        gc.collect()


@pytest.fixture
def optimised():
    """Programs that are compiled meanwhile are slower to compile and faster to run: for long real physics."""
    name = "jax_disable_most_optimizations"
    before = jax.config.read(name)
    jax.config.update(name, False)
    yield
    jax.config.update(name, before)


@pytest.fixture(scope="session")
def toy_task():
    return ToyTask()


@pytest.fixture(scope="session")
def toy_agents():
    """Original (idle) and target (pushes towards the goal), stacked."""
    key = jax.random.key(7)
    return stack_agents(toy_policy(key, 0.0), toy_policy(key, 0.25))


@pytest.fixture(scope="session")
def toy_original(toy_agents):
    return jax.tree.map(lambda leaf: jnp.asarray(leaf[0]), toy_agents)


@pytest.fixture(scope="session")
def toy_program(toy_task):
    return RolloutProgram(toy_task, envs=16, chunk=10)


@pytest.fixture(scope="session")
def toy_bank(toy_program, toy_agents):
    size = RowSettings(32, TOY_HORIZON)
    return generate_pairs(toy_program, toy_agents, parse_data_spec("mixed:0.5"), size, key=jax.random.key(1))


@pytest.fixture(scope="session")
def toy_rows(toy_bank):
    return label_pairs(jax.tree.map(jnp.asarray, toy_bank), parse_data_spec("mixed:0.5"), key=jax.random.key(2))


@pytest.fixture(scope="session")
def smoke_run(tmp_path_factory):
    """What `mpo meta-train --preset smoke` gives, and the folder that it leaves: not to be written to."""
    from typer.testing import CliRunner

    from cli.app import app

    out = tmp_path_factory.mktemp("runs")
    options = ("--task", "halfcheetah", "--preset", "smoke", "--seed", "5", "--out", str(out))
    found = CliRunner().invoke(app, ["meta-train", *options], catch_exceptions=False)
    (folder,) = out.iterdir()
    return found, folder


@pytest.fixture
def rng():
    return np.random.default_rng(0)
