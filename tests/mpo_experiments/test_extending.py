"""Tasks and objectives of one's own: registered from Python, brought by a package, and the worked example."""

import dataclasses
import importlib
import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from brax.envs import Env
from jaxtyping import Array, Float
from typer.testing import CliRunner

from adapters.evosax import entries
from adapters.evosax.entries import register_strategy, strategy_entry, strategy_names
from adapters.evosax.settings import StrategySettings
from adapters.evosax.strategy import Strategy
from cli.app import app
from mpo_core import CatalogueEntry, PairLogProbs, make_objective, objective_ids, register_objective
from mpo_core.losses import catalogue
from mpo_core.losses.catalogue import TuningRange, catalogue_entry, parse_objective_text
from mpo_core.objective.interface import AbstractObjective, coefficient
from mpo_experiments.agents import training as agent_training
from mpo_experiments.agents.training import settings_for, train_agents
from mpo_experiments.objectives.lookup import canonical_text, load_objective
from mpo_experiments.tasks import registry as tasks
from mpo_experiments.tasks.registry import PPOSettings, TaskSpec, register_task, task_names, task_spec

MPO = Path(sys.executable).with_name("mpo")
DOCS = Path(__file__).parents[2] / "docs"
EXAMPLE = DOCS / "examples" / "mpo_reach"
PAIR = PairLogProbs(-8.0, -12.0, -9.0, -11.0, 8.0, 8.0, 0.0)


class Slope(AbstractObjective):
    """-beta (mw - ml)."""

    beta: Float[Array, ""] = eqx.field(converter=coefficient, default=2.0)

    def __call__(self, pair, progress):
        return -self.beta * (pair.chosen_mean - pair.rejected_mean)


class WithoutDefault(Slope):
    gamma: Float[Array, ""] = eqx.field(converter=coefficient, kw_only=True)


class WithVector(Slope):
    weights: Float[Array, " weight"] = eqx.field(converter=coefficient, default_factory=lambda: np.ones(2))


SLOPE = CatalogueEntry(
    id="slope", factory=Slope, family="mine", citation="none", formula="-beta (mw - ml)", needs_reference=False,
    length_normalised=True, member="M0-bar", tuning=(TuningRange("beta", 0.5, 8.0, "mean", log=True),),
)  # fmt: skip
SPEC = TaskSpec("flat", "Nothing happens.", "none", lambda: None, PPOSettings(steps=1, evaluations=1))


@pytest.fixture(autouse=True)
def registries():
    """As they were, after each test."""
    kept = [(held, dict(held)) for held in (tasks.TASKS, catalogue._BY_ID, entries._ENTRIES)]
    yield
    for held, before in kept:
        held.clear()
        held.update(before)


def invoke(*arguments):
    return CliRunner().invoke(app, arguments)


def test_a_registered_objective_is_known_everywhere():
    before = objective_ids()
    register_objective(SLOPE)
    register_objective(dataclasses.replace(SLOPE))  # an equal entry is the same entry
    assert objective_ids() == (*before, "slope")
    assert catalogue.catalogue()[-1] is SLOPE is catalogue_entry("slope")
    np.testing.assert_allclose(make_objective("slope", beta=3.0)(PAIR, 0.0), [-1.5])
    np.testing.assert_allclose(load_objective("slope:beta=4")(PAIR, 0.0), [-2.0])
    assert parse_objective_text("slope:beta=4") == ("slope", {"beta": 4.0})
    assert canonical_text("slope") == "slope:beta=2"
    listed = json.loads(invoke("list", "objectives", "--family", "mine", "--json").stdout)
    assert [(row["name"], row["settings"], row["needs"]) for row in listed] == [("slope", "beta=2", [])]
    refused = invoke("train", "--task", "halfcheetah", "--objective", "slope:bet=4")
    assert (refused.exit_code, "did you mean 'beta'" in refused.stderr) == (2, True)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"id": "dpo"}, "there is an objective 'dpo' already"),
        ({"id": "my:slope"}, "'my:slope' is not a plain word"),
        ({"id": "runs/slope"}, "is not a plain word"),
        ({"id": ""}, "is not a plain word"),
        ({"factory": PairLogProbs}, "is no sub-class of AbstractObjective"),
        ({"factory": lambda: Slope()}, "is no sub-class of AbstractObjective"),
        ({"factory": AbstractObjective}, "is abstract"),
        ({"factory": WithoutDefault}, r"WithoutDefault\(\) cannot be made \(.*'gamma'"),
        ({"factory": WithVector}, r"setting 'weights' has shape \(2,\)"),
        ({"tuning": (TuningRange("bet", 1.0, 2.0),)}, "tunes 'bet', which is none of its settings"),
    ],
)
def test_what_would_fail_later_is_refused_when_registered(changes, says):
    before, entry = objective_ids(), dataclasses.replace(SLOPE)
    for name, value in changes.items():
        object.__setattr__(entry, name, value)  # the tests' type checks would refuse it first
    with pytest.raises(ValueError, match=says) as refusal:
        register_objective(entry)
    assert "\n" not in str(refusal.value)
    assert objective_ids() == before


def test_a_registered_task_is_known_and_its_missing_agents_are_a_note(monkeypatch):
    monkeypatch.delenv("MPO_AGENTS_DIR", raising=False)
    register_task(SPEC)
    register_task(dataclasses.replace(SPEC))
    assert task_names()[-1] == "flat"
    assert task_spec("flat") is SPEC
    for as_json in ((), ("--json",)):
        found = invoke("list", "tasks", *as_json)
        assert found.exit_code == 0
        assert "flat" in found.stdout
        assert "mpo agents train --task flat" in found.stderr


@pytest.mark.parametrize(
    ("name", "says"), [("ant", "there is a task 'ant' already"), ("my task", "not a plain word"), ("a/b", "plain word")]
)
def test_a_task_under_a_bad_name_is_refused(name, says):
    with pytest.raises(ValueError, match=says):
        register_task(dataclasses.replace(SPEC, name=name))
    assert task_spec("ant").name == "ant"


GOOD = """
from mpo_experiments.tasks.registry import PPOSettings, TaskSpec
print("hello from an import")
TASK = TaskSpec("hill", "Climb.", "none", lambda: None, PPOSettings(steps=1, evaluations=1))
def tasks():
    return [TaskSpec(f"hill_{n}", "Climb.", "none", print, TASK.recipe) for n in (1, 2)]
def objective():
    from mpo_core import CatalogueEntry, make_objective
    return CatalogueEntry("own_dpo", type(make_objective("dpo")), "mine", "", "", True, False, "MR")
"""
BROKEN = """
from mpo_experiments.tasks.registry import PPOSettings, TaskSpec
TAKEN = TaskSpec("ant", "Another.", "none", print, PPOSettings(steps=1, evaluations=1))
def raises():
    raise RuntimeError("first line\\nsecond line.")
"""
BROKEN_POINTS = {
    "mpo.tasks": {"absent": "nowhere:TASK", "nameless": "broken_plugin:NOPE", "odd": "sys:maxsize",
                  "raises": "broken_plugin:raises", "taken": "broken_plugin:TAKEN"},
    "mpo.objectives": {"odd": "broken_plugin:TAKEN"},
}  # fmt: skip


def fake_distribution(root, name, code, points):
    """A package as pip would install it: a module, and a dist-info folder with its entry points."""
    (root / f"{name}.py").write_text(code)
    info = root / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    lines = [f"[{group}]\n" + "".join(f"{k} = {v}\n" for k, v in of.items()) for group, of in points.items()]
    (info / "entry_points.txt").write_text("\n".join(lines))


def python_path(*own):
    """Folders before those that this process was given."""
    return os.pathsep.join([*map(str, own), *filter(None, [os.environ.get("PYTHONPATH")])])


def mpo(path, *arguments):
    environment = {"PYTHONPATH": python_path(path), "PATH": "/usr/bin:/bin", "HOME": str(path)}
    found = subprocess.run([MPO, *arguments], env=environment, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr
    return found


def test_packages_bring_tasks_and_objectives_and_broken_ones_are_skipped(tmp_path):
    good = {"one": "good_plugin:TASK", "two": "good_plugin:tasks"}
    points = {"mpo.tasks": good, "mpo.objectives": {"own": "good_plugin:objective"}}
    fake_distribution(tmp_path, "good_plugin", GOOD, points)
    fake_distribution(tmp_path, "broken_plugin", BROKEN, BROKEN_POINTS)
    found = mpo(tmp_path, "list", "tasks", "--json")
    assert [row["name"] for row in json.loads(found.stdout)][-3:] == ["hill", "hill_1", "hill_2"]
    warnings = [line for line in found.stderr.splitlines() if line.startswith("Warning: ")]
    head, missing = "Warning: plug-in broken_plugin (mpo.", "module 'broken_plugin' has no attribute 'NOPE'"
    assert warnings == [
        f"{head}tasks: absent = nowhere:TASK) is skipped: ModuleNotFoundError: No module named 'nowhere'.",
        f"{head}tasks: nameless = broken_plugin:NOPE) is skipped: AttributeError: {missing}.",
        f"{head}tasks: odd = sys:maxsize) is skipped: it gives 'int' where TaskSpec is wanted.",
        f"{head}tasks: raises = broken_plugin:raises) is skipped: RuntimeError: first line second line.",
        f"{head}tasks: taken = broken_plugin:TAKEN) is skipped: there is a task 'ant' already: choose another name.",
        f"{head}objectives: odd = broken_plugin:TAKEN) is skipped: it gives 'TaskSpec' where CatalogueEntry is wanted.",
    ]
    found = mpo(tmp_path, "list", "objectives", "--family", "mine", "--json")
    assert [row["name"] for row in json.loads(found.stdout)] == ["own_dpo"]


def test_commands_start_no_jax_for_the_sake_of_tasks_alone(tmp_path):
    fake_distribution(tmp_path, "good_plugin", GOOD, {"mpo.tasks": {"one": "good_plugin:TASK"}})
    code = (
        "import sys; sys.argv = ['mpo', 'agents', 'train', '--task', 'hil']\n"
        "import cli\n"
        "try:\n    cli.main()\n"
        "except SystemExit as end:\n    assert end.code == 2, end.code\n"
        "heavy = {'jax', 'jaxlib', 'brax', 'equinox', 'mujoco', 'scipy'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    for path, says in ((tmp_path, "did you mean 'hill'"), (tmp_path / "empty", "unknown task 'hil'")):
        found = subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONPATH": python_path(path)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert found.returncode == 0, found.stderr
        assert says in found.stderr


@pytest.fixture
def example(monkeypatch):
    """The example's task, as its entry point names it."""
    monkeypatch.syspath_prepend(EXAMPLE)
    points = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]["entry-points"]
    found = {}
    for group, of in points.items():
        ((name, value),) = of.items()
        module, _, attribute = value.partition(":")
        found[group] = name, getattr(importlib.import_module(module), attribute)
    return found


def test_the_example_is_what_its_entry_points_say(example):
    name, spec = example["mpo.tasks"]
    register_task(spec)
    assert task_spec(name) is spec
    name, entry = example["mpo.objectives"]
    register_objective(entry)
    np.testing.assert_allclose(make_objective(name)(PAIR, 0.0), [0.0])
    np.testing.assert_allclose(make_objective(name, gamma=2.0)(PAIR, 0.0), [1.0])
    gradient = jax.grad(lambda pair: make_objective(name, gamma=2.0)(pair, 0.0).sum())(PAIR)
    np.testing.assert_allclose(gradient.chosen, [-2 * 1 * 2 / 8])


def test_the_examples_environment_keeps_to_braxs_interface(example):
    env = example["mpo.tasks"][1].make()
    assert isinstance(env, Env)
    state = jax.jit(jax.vmap(env.reset))(jax.random.split(jax.random.key(0), 5))
    assert state.obs.shape == (5, env.observation_size)
    step = jax.jit(jax.vmap(env.step))
    towards = step(state, -jnp.sign(state.obs))
    assert jax.tree.map(jnp.shape, towards) == jax.tree.map(jnp.shape, state)
    assert (towards.reward > step(state, jnp.sign(state.obs)).reward).all()
    for _ in range(30):
        state = step(state, jnp.ones((5, env.action_size)))
    assert (state.done == 1).all()
    assert (state.reward == 0).all()


def test_the_examples_agents_train(example, tmp_path, monkeypatch):
    monkeypatch.setattr(agent_training, "MEASURED_EPISODES", 64)
    register_task(example["mpo.tasks"][1])
    card = train_agents("reach", settings_for("reach", steps=40_960), tmp_path)
    assert card.target.sampled.low > card.original.sampled.high
    monkeypatch.setenv("MPO_AGENTS_DIR", str(tmp_path))
    listed = json.loads(invoke("list", "tasks", "--json").stdout)
    assert listed[-1]["target"]["return"] == card.target.sampled.return_


def test_the_examples_strategy_searches_in_mirrored_pairs(example):
    name, entry = example["mpo.strategies"]
    register_strategy(entry)
    assert strategy_entry(name) is entry
    with pytest.raises(ValueError, match="antithetic pairs: use an even number"):
        StrategySettings(name, population=7)
    strategy = Strategy(StrategySettings(name, population=8, sigma=0.3), jnp.ones(5), 20)
    state = strategy.init(0)
    for generation in range(20):
        population, state = strategy.ask(state, key=jax.random.key(generation))
        if generation == 0:
            first = np.asarray(population) - 1
        state = strategy.tell(state, population, -jnp.square(population).sum(1), key=jax.random.key(100 + generation))
    np.testing.assert_allclose(first[:4], -first[4:], atol=1e-6)
    assert 0.2 < first.std() < 0.4
    assert float(jnp.square(strategy.mean(state)).sum()) < 1.0  # it began at 5


def test_a_package_brings_a_strategy_and_nothing_starts_jax_for_it(tmp_path):
    points = {"mpo.strategies": {"own": "mpo_reach.strategy:MIRRORED_SNES", "odd": "sys:maxsize"}}
    fake_distribution(tmp_path, "mpo_reach_points", "", points)
    path = python_path(tmp_path, EXAMPLE)
    listed = mpo(path, "list", "strategies", "--json")
    assert json.loads(listed.stdout)[-1] == {
        "name": "mirrored_snes",
        "description": "SNES with draws in mirrored pairs",
    }
    assert "odd = sys:maxsize) is skipped: it gives 'int' where StrategyEntry is wanted." in listed.stderr
    code = (
        "import sys; sys.argv = ['mpo', 'meta-train', '--task', 'ant', '--strategy', 'mirored_snes']\n"
        "import cli\n"
        "try:\n    cli.main()\n"
        "except SystemExit as end:\n    assert end.code == 2, end.code\n"
        "assert not {'jax', 'evosax'} & set(sys.modules)"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": python_path(path)}, capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stderr
    assert "did you mean 'mirrored_snes'" in found.stderr


def test_the_pages_python_runs():
    blocks = re.findall(r"```python\n(.*?)```", (DOCS / "extending.md").read_text(), re.DOTALL)
    registering = [block for block in blocks if "register_" in block]
    assert len(registering) == 3
    for block in registering:
        exec(block, {})
    assert "half_hinge" in objective_ids()
    assert "lm_ma_es" in strategy_names()
    assert Strategy(StrategySettings("lm_ma_es", population=6), jnp.ones(3), 2).init(0).mean.shape == (3,)
    env = task_spec("glide").make()
    state = env.step(env.reset(jax.random.key(0)), jnp.ones(1))
    assert 0 < state.reward < 1
