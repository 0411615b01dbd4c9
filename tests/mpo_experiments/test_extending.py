"""Tasks, objectives and data faults of one's own: from Python, brought by a package, and the worked example."""

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
from helpers.command_line import MPO
from helpers.objectives import canonical_text, load_objective
from mpo_core import CatalogueEntry, PairLogProbs, make_objective, objective_ids, register_objective
from mpo_core.data.fault import DataFault
from mpo_core.data.fault_registry import FAULTS, register_data_fault
from mpo_core.data.labels import label
from mpo_core.data.specification import parse_data_spec
from mpo_core.losses import catalogue
from mpo_core.losses.catalogue import TuningRange, catalogue_entry, parse_objective_text
from mpo_core.losses.families.log_ratio import Dpo
from mpo_core.losses.members import as_mirror, member_ids, why_not_member
from mpo_core.objective.domain import POSITIVE
from mpo_core.objective.interface import AbstractObjective, coefficient
from mpo_core.objective.setting import setting
from mpo_experiments.agents import measuring
from mpo_experiments.agents.training import settings_for, train_agents
from mpo_experiments.tasks import registry as tasks
from mpo_experiments.tasks.registry import PPOSettings, TaskSpec, register_task, task_names, task_spec

DOCS = Path(__file__).parents[2] / "docs"
EXAMPLE = DOCS / "examples" / "mpo_reach"
KEY = jax.random.key(3)
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


class OutsideItsDomain(AbstractObjective):
    beta: Float[Array, ""] = setting(-2.0, POSITIVE)

    def __call__(self, pair, progress):
        return -self.beta * pair.chosen


SLOPE = CatalogueEntry(
    id="slope", factory=Slope, family="mine", citation="none", formula="-beta (mw - ml)", needs_reference=False,
    length_normalised=True, member="M0-bar", tuning=(TuningRange("beta", 0.5, 8.0, "mean", log=True),),
)  # fmt: skip
SPEC = TaskSpec("flat", "Nothing happens.", "none", lambda: None, PPOSettings(steps=1, evaluations=1))


@pytest.fixture(autouse=True)
def registries():
    """As they were, after each test."""
    kept = [(held, dict(held)) for held in (tasks.TASKS, catalogue._BY_ID, FAULTS, entries._ENTRIES)]
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
        (
            {"factory": Dpo, "tuning": (TuningRange("beta", 0.0, 2.0),)},
            "its search range leaves the domain: beta must be",
        ),
        ({"factory": OutsideItsDomain}, "its default lies outside the domain: beta must be above 0 .*, not -2.0"),
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


def test_a_class_without_a_card_needs_an_entry():
    with pytest.raises(ValueError, match="Slope says nothing about itself: give it a class variable card"):
        register_objective(Slope)
    assert why_not_member("dpo") is None
    register_objective(SLOPE)
    assert why_not_member("slope") == "nobody has said which maps it has"


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
import dataclasses
from mpo_core.data.fault import FlipFault
from mpo_experiments.tasks.registry import PPOSettings, TaskSpec
print("hello from an import")
TASK = TaskSpec("hill", "Climb.", "none", lambda: None, PPOSettings(steps=1, evaluations=1))
def tasks():
    return [TaskSpec(f"hill_{n}", "Climb.", "none", print, TASK.recipe) for n in (1, 2)]
def objective():
    from mpo_core import CatalogueEntry, make_objective
    return CatalogueEntry("own_dpo", type(make_objective("dpo")), "mine", "", "", True, False, "MR")
@dataclasses.dataclass(frozen=True)
class NoisyOdd(FlipFault):
    name, form, description = "noisy_odd", "noisy_odd:E", "odd"
"""
GOOD_LOSS = """
import dataclasses
from mpo_core.losses.families.log_ratio import Dpo
class Loss(Dpo):
    card = dataclasses.replace(Dpo.card, id="class_dpo", family="mine")
"""
BROKEN = """
from mpo_core.data.faults.mixed import Mixed
class Noisy(Mixed):
    name, form = "noisy", "noisy:E"
from mpo_experiments.tasks.registry import PPOSettings, TaskSpec
TAKEN = TaskSpec("ant", "Another.", "none", print, PPOSettings(steps=1, evaluations=1))
def raises():
    raise RuntimeError("first line\\nsecond line.")
"""
BROKEN_POINTS = {
    "mpo.tasks": {"absent": "nowhere:TASK", "nameless": "broken_plugin:NOPE", "odd": "sys:maxsize",
                  "raises": "broken_plugin:raises", "taken": "broken_plugin:TAKEN"},
    "mpo.objectives": {"odd": "broken_plugin:TAKEN"},
    "mpo.data_faults": {"odd": "broken_plugin:TAKEN", "other": "mpo_core:PairLogProbs", "taken": "broken_plugin:Noisy"},
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
    (tmp_path / "good_loss.py").write_text(GOOD_LOSS)
    points = {
        "mpo.tasks": good, "mpo.objectives": {"own": "good_plugin:objective", "other": "good_loss:Loss"},
        "mpo.data_faults": {"own": "good_plugin:NoisyOdd"},
    }  # fmt: skip
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
        f"{head}data_faults: odd = broken_plugin:TAKEN) is skipped: it gives 'TaskSpec' where a class is wanted.",
        f"{head}data_faults: other = mpo_core:PairLogProbs) is skipped: data fault 'PairLogProbs' is no sub-class of "
        "DataFault.",
        f"{head}data_faults: taken = broken_plugin:Noisy) is skipped: there is a data fault 'noisy' already: choose "
        "another name.",
        f"{head}objectives: odd = broken_plugin:TAKEN) is skipped: it gives 'TaskSpec' where CatalogueEntry is wanted.",
    ]
    found = mpo(tmp_path, "list", "data", "--json")
    assert json.loads(found.stdout)[-1] == {"name": "noisy_odd:E", "description": "odd"}
    found = mpo(tmp_path, "list", "objectives", "--family", "mine", "--json")
    assert [row["name"] for row in json.loads(found.stdout)] == ["class_dpo", "own_dpo"]


def test_commands_start_no_jax_for_the_sake_of_tasks_alone(tmp_path):
    points = {"mpo.tasks": {"one": "good_plugin:TASK"}, "mpo.data_faults": {"own": "good_plugin:NoisyOdd"}}
    fake_distribution(tmp_path, "good_plugin", GOOD, points)
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
    name, loss = example["mpo.objectives"]
    register_objective(loss)
    assert catalogue_entry(name).factory is loss
    np.testing.assert_allclose(make_objective(name)(PAIR, 0.0), [0.0])
    np.testing.assert_allclose(make_objective(name, gamma=2.0)(PAIR, 0.0), [1.0])
    gradient = jax.grad(lambda pair: make_objective(name, gamma=2.0)(pair, 0.0).sum())(PAIR)
    np.testing.assert_allclose(gradient.chosen, [-2 * 1 * 2 / 8])


def test_the_examples_data_fault_prefers_what_was_second(example):
    name, fault = example["mpo.data_faults"]
    register_data_fault(fault)
    register_data_fault(fault)
    assert FAULTS[name] is fault
    returns = jnp.array([[1.0, 2.0], [2.0, 1.0]] * 500)
    labels = label(parse_data_spec(f"{name}:0.4"), returns, returns, returns.astype(int), key=KEY)
    assert labels.second_wins[::2].all()
    assert abs(labels.second_wins[1::2].mean() - 0.4) < 0.1
    refused = invoke("data", "describe", "--task", "halfcheetah", "--data", "noisy_second:1.5")
    assert (refused.exit_code, "takes a probability between 0 and 1, not 1.5" in refused.stderr) == (2, True)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"name": "noisy"}, "must begin with its name"),
        ({"name": "noisy", "form": "noisy:E"}, "there is a data fault 'noisy' already"),
        ({"name": "my fault", "form": "my fault"}, "not a plain word"),
        ({"form": ""}, "must begin with its name"),
        ({"description": None}, "says no description"),
        ({"stage": "rows"}, "unknown stage of data fault"),
        ({"__hash__": None}, "cannot be hashed"),
    ],
)
def test_a_data_fault_that_would_fail_later_is_refused_when_registered(example, changes, says):
    fault = type("Own", (example["mpo.data_faults"][1],), {"__hash__": lambda self: 0} | changes)
    with pytest.raises(ValueError, match=says) as refusal:
        register_data_fault(fault)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(("stage", "missing"), [("labels", "apply"), ("judge", "apply"), ("pairs", "shares")])
def test_a_data_fault_defines_what_its_stage_asks_for(stage, missing):
    told = {"name": "own", "form": "own", "description": "none", "stage": stage}
    with pytest.raises(ValueError, match="must define 'parse'"):
        register_data_fault(type("Own", (DataFault,), told))
    with pytest.raises(ValueError, match=f"must define '{missing}'"):
        register_data_fault(type("Own", (DataFault,), told | {"parse": print, "text": "own"}))


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
    monkeypatch.setattr(measuring, "MEASURED_EPISODES", 64)
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
    assert len(registering) == 4
    for block in registering:
        exec(block, {})
    assert str(parse_data_spec("noisy_poor:0.30+mixed:.75")) == "mixed:0.75+noisy_poor:0.3"
    with pytest.raises(ValueError, match=r"'noisy_poor' takes a probability between 0 and 0.5, not 0.6"):
        parse_data_spec("noisy_poor:0.6")
    returns = jnp.array([[1.0, 2.0], [9.0, 8.0]] * 500)
    flipped = label(parse_data_spec("noisy_poor:0.5"), returns, returns, returns.astype(int), key=KEY).flipped
    assert abs(flipped[::2].mean() - 0.5) < 0.1
    assert not flipped[1::2].any()
    assert "mean_hinge" in objective_ids()
    assert "mean_hinge" in member_ids()
    np.testing.assert_allclose(as_mirror("mean_hinge")(PAIR, 0.0), make_objective("mean_hinge")(PAIR, 0.0))
    refused = invoke("train", "--task", "halfcheetah", "--objective", "mean_hinge:beta=-1")
    assert "objective 'mean_hinge': beta must be above 0 and at most 1000000, not -1.0" in refused.stderr
    assert "lm_ma_es" in strategy_names()
    assert Strategy(StrategySettings("lm_ma_es", population=6), jnp.ones(3), 2).init(0).mean.shape == (3,)
    env = task_spec("glide").make()
    state = env.step(env.reset(jax.random.key(0)), jnp.ones(1))
    assert 0 < state.reward < 1
