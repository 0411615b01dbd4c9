"""A run of `mpo meta-train` that takes seconds: the worked example's task with agents made by hand, in this process or
in one of its own."""

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import jax.numpy as jnp

from adapters.storage.agent_files import AgentsCard, save_agents
from mpo_core.policies.gaussian import DEFAULT_BIN_WIDTH, GaussianPolicy, Layer, raw_scale_of

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "mpo_reach"
HORIZON = 50
RETURNS = {"original": 30.0, "target": 45.0}
ARGUMENTS = ("meta-train", "--task", "reach", "--preset", "smoke", "--population", "8", "--generations", "6")


def pull(strength: float) -> GaussianPolicy:
    """Moves towards the goal, at `strength` times the distance to it."""
    split = jnp.array([[1.0, -1.0, 0.0, 0.0], [0.0, 0.0, 1.0, -1.0]])
    layers = (Layer(split, jnp.zeros(4)), Layer(-strength * split.T, jnp.zeros(2)))
    return GaussianPolicy(jnp.zeros(2), jnp.ones(2), layers, raw_scale_of(jnp.full(2, 0.3)))


def save_toy_agents(folder: Path) -> None:
    """Agents of the task `reach`, with a card that spares the search a measurement."""
    records = {}
    for role, value in RETURNS.items():
        measured = {"return": value, "low": value - 0.1, "high": value + 0.1, "episodes": 256}
        records[role] = {"steps": 0, "sampled": measured, "mode": measured}
    card = AgentsCard.model_validate(
        {
            "task": "reach", "backend": "none", "command": "by hand", "rule": "by hand", "settings": {}, "versions": {},
            "snapshots": {}, "horizon": HORIZON, "bin_width": DEFAULT_BIN_WIDTH, "activation": "relu",
            "measurement_seed": 0, "date": "2025-01-01", **records,
        }
    )  # fmt: skip
    save_agents(folder / "reach", card, (pull(0.1), pull(3.0)))


def environment(folder: Path) -> dict[str, str]:
    """Variables under which an `mpo` process knows the task and its agents, both of which are put under `folder`."""
    save_toy_agents(folder / "agents")
    info = folder / "plugin" / "mpo_reach-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: mpo_reach\nVersion: 1.0\n")
    name, value = next(
        iter(tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]["entry-points"]["mpo.tasks"].items())
    )
    (info / "entry_points.txt").write_text(f"[mpo.tasks]\n{name} = {value}\n")
    paths = (folder / "plugin", EXAMPLE, *filter(None, [os.environ.get("PYTHONPATH")]))
    own = {"PYTHONPATH": os.pathsep.join(map(str, paths)), "MPO_AGENTS_DIR": str(folder / "agents")}
    return os.environ | own | {"PYTHONUNBUFFERED": "1"}


PROGRAM = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); {before}; import cli; cli.main()"
"""Ctrl-C is heard even where whoever runs the tests in the background ignores it, which children would inherit."""


def begin(arguments: tuple, variables: dict[str, str], folder: Path, before: str = "pass") -> subprocess.Popen:
    """An `mpo` process in `folder`, where its output goes to files; `before` is Python that it runs first."""
    code = PROGRAM.format(before=before)
    with (folder / "stdout").open("w") as out, (folder / "stderr").open("w") as err:
        return subprocess.Popen(
            [sys.executable, "-c", code, *map(str, arguments)], env=variables, cwd=folder, stdout=out, stderr=err
        )


def the_run(out: Path) -> Path | None:
    """The run folder under `out` once it can be resumed."""
    found = [path.parent for path in out.glob("*/config.json")]
    return found[0] if found else None


def generations(run: Path) -> list[int]:
    """What metrics.jsonl holds."""
    return [json.loads(line)["generation"] for line in (run / "metrics.jsonl").read_text().splitlines()]


def assert_same_results(run: Path, other: Path, names: tuple[str, ...] = ("objective.safetensors",)) -> None:
    """Two runs found the same to the byte, and recorded every generation once."""
    for name in names:
        assert (run / name).read_bytes() == (other / name).read_bytes(), name
    records = [
        [json.loads(line) | {"seconds": 0} for line in (path / "metrics.jsonl").read_text().splitlines()]
        for path in (run, other)
    ]
    assert records[0] == records[1]
    assert [record["generation"] for record in records[0]] == list(range(len(records[0])))
    assert not list(run.rglob("*.tmp"))
