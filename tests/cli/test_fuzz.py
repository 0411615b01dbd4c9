"""Property-based fuzzing of everything a user can hand in: exit code 0 or 2, one sentence, nothing left behind."""

import hashlib
import json
import math
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
import typer
import yaml
from hypothesis import HealthCheck, given, settings, strategies as st
from typer.testing import CliRunner

from adapters.evosax.entries import strategy_names
from adapters.storage.objective_files import CARD_SEAL, save_objective
from adapters.storage.objective_paths import CARD_NAME, TENSOR_NAME
from adapters.storage.sealed import write_sealed
from cli.app import app
from helpers.command_line import MPO
from helpers.objectives import canonical_text, learned_start
from mpo_core.data.fault import NumberFault
from mpo_core.data.fault_registry import FAULTS
from mpo_core.data.specification import DataSpec, parse_data_spec
from mpo_core.losses.catalogue import objective_ids
from mpo_experiments.settings.presets import PRESETS
from mpo_experiments.settings.run_config import RunConfig, build_run
from mpo_experiments.tasks.registry import task_names

SHARE = float(os.environ.get("MPO_FUZZ", "0.25"))
"""Of the examples of a full round, 2,800, how many are tried: a quarter in the suite; MPO_FUZZ=1 for all."""


def cases(count: int):
    """So many examples in a full round, the same every time, and no database of them."""
    return settings(
        max_examples=round(SHARE * count),
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


# -- what people hand in -----------------------------------------------------------------------------------------------

SOUND = st.one_of(st.integers(2, 20), st.integers(2, 20).map(lambda half: 2 * half), st.floats(0.01, 2))
NUMBERS = st.one_of(
    SOUND, SOUND, st.integers(-3, 40), st.floats(-1, 2, allow_nan=False), st.floats(),
    st.sampled_from([0, -1, 2**31 - 1, 2**31, 2**63, 10**25, 10**400, math.nan, math.inf, 1e-320]),
)  # fmt: skip
WORDS = st.one_of(
    st.sampled_from(["", " ", "nan", "inf", "-0", "1e999", "1_0", "٣", "true", "None", "..", "*", "[1]", "{}", "[/x]"]),
    st.text(st.characters(blacklist_characters="\0", blacklist_categories=()), max_size=8),
    st.sampled_from(["x" * 300, "ä\n\x1b[0m", "\udcff", "task", "dpo", "halfcheetah", "smoke"]),
)
SHOWN = NUMBERS.map(str)


def near(names):
    """One of the names, or what somebody mistypes for it."""
    one = st.sampled_from(sorted(names))
    wrong = st.one_of(one.map(lambda name: name[1:]), one.map(str.upper), one.map(lambda name: f"{name}x"), WORDS)
    return st.one_of(one, one, one, wrong)


SHARES = st.one_of(st.floats(0, 1), st.floats(0, 1), NUMBERS).map(str) | WORDS
FAULT_NAMES = [name for name, fault in FAULTS.items() if issubclass(fault, NumberFault)]
SOUND_TERMS = st.tuples(st.sampled_from(FAULT_NAMES), st.floats(0, 0.5).map(str)).map(":".join)
TERMS = st.one_of(
    st.just("base"), SOUND_TERMS, SOUND_TERMS, WORDS,
    st.tuples(st.sampled_from([*FAULT_NAMES, "base", "pairs", "nosy"]), SHARES).map(":".join),
    st.lists(st.tuples(st.sampled_from(["oo", "ot", "tt", "xx"]), SHARES).map("=".join), max_size=4).map(
        lambda parts: f"pairs:{','.join(parts)}"
    ),
    st.tuples(st.floats(0, 1), st.floats(0, 1)).map(
        lambda cut: f"pairs:oo={min(cut)},ot={max(cut) - min(cut)},tt={1 - max(cut)}"
    ),
)  # fmt: skip
DATA = st.one_of(TERMS, st.lists(TERMS, max_size=3).map("+".join))
OBJECTIVES = st.builds(
    lambda id, terms: f"{id}:{','.join(terms)}" if terms else id,
    near(objective_ids()),
    st.one_of(
        st.just([]),
        st.lists(st.tuples(near(["beta", "lam", "gamma", "alpha"]), SHOWN | WORDS).map("=".join), max_size=2),
    ),
)


def schema(value, prefix=()) -> list[tuple[str, ...]]:
    """The names of all settings, as paths."""
    if not isinstance(value, dict):
        return [prefix]
    return [prefix, *(path for name, part in value.items() for path in schema(part, (*prefix, name)))]


def value_at(path: tuple[str, ...]):
    """What the smoke preset has for a setting."""
    found = DEFAULTS
    for name in path:
        found = found[name]
    return found


DEFAULTS = build_run({"task": "halfcheetah", "preset": "smoke"}).model_dump(mode="json")
PATHS = [path for path in schema(DEFAULTS) if path]
VALUES = st.recursive(
    st.one_of(NUMBERS, WORDS, st.booleans(), st.none()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=4,
)
LEAVES = [path for path in PATHS if not isinstance(value_at(path), dict)]
CHANGES = st.one_of(
    st.tuples(st.sampled_from(LEAVES), SOUND),
    st.sampled_from(LEAVES).flatmap(lambda path: st.tuples(st.just(path), st.just(value_at(path)))),
    st.tuples(st.sampled_from(PATHS), VALUES),
)
SETTINGS = st.lists(CHANGES, max_size=3)


def layered(changes) -> dict:
    """The smoke preset's settings with some replaced."""
    found = json.loads(json.dumps(DEFAULTS))
    for (*groups, name), value in changes:
        place = found
        for group in groups:
            place = place[group] if isinstance(place.get(group), dict) else place
        place[name] = value
    return found


# -- the bench ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """An empty working directory, and every command stopped where its work begins."""

    def stop(*_, **__):
        raise typer.Exit(0)

    folder, before = tmp_path_factory.mktemp("here"), Path.cwd()
    with pytest.MonkeyPatch.context() as patch:
        os.chdir(folder)
        patch.setattr("mpo_experiments.testbed.Testbed.learning_curve", stop)
        patch.setattr("mpo_experiments.tuning.tune.tune", stop)
        patch.setattr("mpo_experiments.agents.training.train_agents", stop)
        patch.setattr("cli.benchmark._run", stop)
        patch.setattr("cli.benchmark._say_cost", stop)
        patch.setattr("cli.data._build", stop)
        patch.setattr("cli.meta_train._searched", stop)
        patch.setattr("mpo_experiments.runs.folder.create_run", stop)
        patch.setenv("MPO_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        yield folder
        os.chdir(before)


def check(here: Path, *arguments: object) -> int:
    """A command works or is refused in a sentence, and a refusal leaves nothing behind."""
    found = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert isinstance(found.exception, SystemExit | None), (arguments, found.exception)
    assert found.exit_code in (0, 2), (arguments, found.output)
    if found.exit_code == 2:
        assert (found.stdout, len(found.stderr.splitlines())) == ("", 1), (arguments, found.output)
        assert found.stderr.startswith("Error: ")
        assert len(found.stderr) < 3000
        assert not list(here.iterdir()), arguments
    for path in here.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    return found.exit_code


@cases(350)
@given(
    DATA,
    st.sampled_from([("meta-train",), ("train", "--objective", "dpo"), ("tune",), ("benchmark",), ("data", "build")]),
)
def test_data_specifications(here, text, command):
    check(here, *command, "--task", "halfcheetah", f"--data={text}")


def read_or_refused(text: str) -> DataSpec | None:
    try:
        return parse_data_spec(text)
    except ValueError as error:
        return None if len(str(error)) < 400 else pytest.fail(f"a long sentence: {error}")


@cases(500)
@given(DATA)
def test_a_data_specification_is_read_or_refused_in_a_sentence(text):
    spec = read_or_refused(text)
    if spec is None:
        return
    assert str(parse_data_spec(str(spec))) == str(spec)
    assert sum(spec.kind_counts(64)) == 64


@cases(400)
@given(
    st.lists(
        st.one_of(
            CHANGES.map(lambda change: (".".join(change[0]), change[1])),
            st.tuples(near(map(".".join, PATHS)), SOUND),
            st.tuples(WORDS, VALUES),
        ),
        min_size=1,
        max_size=2,
    )
)
def test_overrides(here, overrides):
    texts = [f"{name}={value if isinstance(value, str) else json.dumps(value)}" for name, value in overrides]
    options = [part for text in texts for part in ("--set", text)]
    check(here, "meta-train", "--task", "halfcheetah", "--preset", "smoke", *options)


@cases(250)
@given(SETTINGS, st.sampled_from([".json", ".yaml"]), st.booleans())
def test_config_files(here, tmp_path_factory, changes, suffix, sealed):
    path = tmp_path_factory.getbasetemp() / f"config{suffix}"
    value = layered(changes)
    if sealed:
        write_sealed(path, value)
    else:
        dump = json.dumps if suffix == ".json" else lambda found: yaml.safe_dump(found, allow_unicode=False)
        path.write_text(dump(value))
    check(here, "meta-train", "--config", path)


@cases(150)
@given(st.integers(0), st.binary(max_size=4), st.integers(0, 3), st.sampled_from([".json", ".yaml"]))
def test_torn_config_files(here, tmp_path_factory, at, garbage, dropped, suffix):
    path = tmp_path_factory.getbasetemp() / f"config{suffix}"
    content = (json.dumps(DEFAULTS, indent=1) if suffix == ".json" else yaml.safe_dump(DEFAULTS)).encode()
    at %= len(content)
    path.write_bytes(content[:at] + garbage + content[at + dropped :])
    check(here, "meta-train", "--config", path)


@cases(300)
@given(OBJECTIVES, st.sampled_from([("train", "--objective"), ("meta-train", "--init"), ("tune", "--objectives")]))
def test_objectives(here, text, command):
    check(here, command[0], "--task", "halfcheetah", f"{command[1]}={text}")


@pytest.fixture(scope="module")
def objective(tmp_path_factory):
    """The files of an objective."""
    folder = tmp_path_factory.mktemp("objective")
    save_objective(folder, learned_start("tempo", True), init=canonical_text("tempo"), temporal=True, provenance={})
    return folder


@cases(200)
@given(
    st.dictionaries(
        st.sampled_from(["format", "schema_version", "init", "temporal", "tensors", "sha256", "provenance", "colour"]),
        st.one_of(VALUES, OBJECTIVES, st.just({"inner": {"sft_epochs": 3}})),
        max_size=2,
    ),
    st.booleans(),
)
def test_objective_cards(here, objective, changes, sealed):
    path = objective / CARD_NAME
    content = path.read_bytes()
    card = json.loads(content) | changes
    try:
        write_sealed(path, card, seal=CARD_SEAL) if sealed else path.write_text(json.dumps(card))
        code = check(here, "train", "--task", "halfcheetah", "--objective", objective)
    finally:
        path.write_bytes(content)
    assert code == 2 or sealed or card == json.loads(content)


@cases(150)
@given(st.data())
def test_objective_tensors(here, objective, data):
    card, tensors = objective / CARD_NAME, objective / TENSOR_NAME
    before = card.read_bytes(), tensors.read_bytes()
    found = safetensors.numpy.load(before[1])
    name = data.draw(st.sampled_from(sorted(found)))
    change = data.draw(st.sampled_from(["number", "shape", "type", "name", "gone", "torn"]))
    if change == "number":
        found[name] = np.full_like(found[name], data.draw(st.floats(width=32)))
    elif change == "shape":
        found[name] = np.zeros(data.draw(st.lists(st.integers(0, 3), max_size=3)), np.float32)
    elif change == "type":
        found[name] = found[name].astype(data.draw(st.sampled_from(["float64", "float16", "int8", "bool", "uint64"])))
    elif change == "gone":
        del found[name]
    elif change == "name":
        found[data.draw(st.text(max_size=5))] = found.pop(name)
    content = safetensors.numpy.save(found)
    if change == "torn":
        at = data.draw(st.integers(0, len(content) - 1))
        content = content[:at] + data.draw(st.binary(max_size=3)) + content[at:][: data.draw(st.integers(0, 200))]
    try:
        tensors.write_bytes(content)
        sums = {"sha256": hashlib.sha256(content).hexdigest()}
        write_sealed(card, json.loads(before[0]) | sums, seal=CARD_SEAL)
        code = check(here, "meta-train", "--task", "halfcheetah", "--init", objective)
    finally:
        card.write_bytes(before[0])
        tensors.write_bytes(before[1])
    assert code == 2 or all(np.isfinite(leaf).all() for leaf in found.values())


# -- options of every command ------------------------------------------------------------------------------------------

PLACES = st.sampled_from(
    [
        "",
        ".",
        "/",
        "/dev/null",
        "/dev/null/x",
        "none",
        "none/deeper",
        "x" * 300,
        "a.json",
        "a.png",
        "a.npz",
        "ä",
        "\udcff",
    ]
)
TASKS, PRESET = near(task_names()), near(PRESETS)
COUNTS = st.one_of(st.integers(2, 20).map(lambda half: str(2 * half)), SHOWN, WORDS)
OPTIONS = {
    ("meta-train",): {
        "--task": TASKS, "--data": DATA, "--preset": PRESET, "--init": OBJECTIVES | PLACES, "--population": COUNTS,
        "--strategy": near(strategy_names()), "--generations": COUNTS, "--report-units": COUNTS, "--seed": COUNTS,
        "--out": PLACES, "--config": PLACES, "--resume": PLACES, "--set": WORDS,
    },
    ("train",): {
        "--task": TASKS, "--objective": OBJECTIVES | PLACES, "--data": DATA, "--preset": PRESET, "--seed": COUNTS,
        "--sft-epochs": COUNTS, "--units": COUNTS, "--figure": PLACES, "--out": PLACES,
    },
    ("tune",): {
        "--task": TASKS, "--data": DATA, "--objectives": OBJECTIVES, "--budget": COUNTS, "--units": COUNTS,
        "--preset": PRESET, "--seed": COUNTS, "--out": PLACES,
    },
    ("benchmark",): {
        "--task": TASKS, "--data": DATA, "--objectives": OBJECTIVES, "--budget": COUNTS, "--tuning-units": COUNTS,
        "--units": COUNTS, "--preset": PRESET, "--seed": COUNTS, "--bin-width": COUNTS, "--rows": COUNTS,
        "--out": PLACES,
    },
    ("agents", "train"): {"--task": TASKS, "--steps": COUNTS, "--seed": COUNTS, "--out": PLACES},
    ("data", "build"): {
        "--task": TASKS, "--data": DATA, "--rows": COUNTS, "--length": COUNTS, "--seed": COUNTS, "--out": PLACES,
    },
    ("data", "describe"): {"--task": TASKS, "--data": DATA, "--rows": COUNTS, "--dataset": PLACES, "--seed": COUNTS},
    ("data", "export"): {
        "--format": near(["npz", "parquet", "minari"]), "--task": TASKS, "--data": DATA, "--out": PLACES,
        "--dataset": PLACES, "--length": COUNTS,
    },
    ("report",): {"--out": PLACES},
    ("list", "objectives"): {"--needs": near(["reference", "rewards", "none"]), "--family": WORDS, "--member": WORDS},
}  # fmt: skip
ALWAYS = {"--task": "halfcheetah", "--data": "base", "--objective": "dpo", "--format": "npz"}
"""Options without which most commands would be refused at once."""


@st.composite
def commands(draw):
    """A command with a few of its options, most of them sound."""
    name = draw(st.sampled_from(sorted(OPTIONS)))
    options = OPTIONS[name]
    chosen = draw(st.lists(st.sampled_from(sorted(options)), max_size=3, unique=True))
    given_ = {option: draw(options[option]) for option in chosen}
    usual = {option: text for option, text in ALWAYS.items() if option in options and option not in given_}
    extra = draw(st.lists(WORDS, max_size=1)) if draw(st.integers(0, 9)) == 0 else []
    runs = draw(st.lists(PLACES, max_size=2)) if name == ("report",) else []
    return [*name, *(f"{option}={text}" for option, text in (usual | given_).items()), *runs, *extra]


@cases(500)
@given(commands())
def test_options(here, command):
    if {"-h", "--help"} & set(command):
        return
    check(here, *command)


PROCESSES = [
    ["meta-train", "--task", "halfcheetah", "--set", "strategy.sigma=.nan"],
    ["train", "--task", "halfcheetah", "--objective", "dpo", "--out", "/dev/null/x"],
    ["list", "data", "--json"],
    ["trian"],
    ["meta-train"],
    ["meta-train", "--task", "ant", "--population", "7", "--strategy", "openes"],
    ["meta-train", "--task", "ant", "--config", "/dev/null"],
    ["meta-train", "--task", "ant", "--config", "/dev/zero"],
    ["meta-train", "--task", "ant", "--init", "ipo"],
    ["meta-train", "--task", "ant", "--set", "rows=" + "[" * 3000],
    ["meta-train", "--task", "ant", "--seed", "99999999999999999999"],
    ["meta-train", "--resume", "."],
    ["meta-train", "--resume", "x" * 300],
    ["meta-train", "--task", "\udcff\udcfe"],
    ["meta-train", "--task", "ant", "--out", "\udcff/\udcfe", "--data", "noisy:\x1b[31m"],
    ["train", "--task", "ant", "--objective", "/"],
    ["train", "--task", "ant", "--objective", "dpo:beta=inf"],
    ["train", "--task", "ant", "--objective", "dpo", "--units", "-3"],
    ["train", "--task", "ant", "--objective", "dpo", "--figure", "/"],
    ["tune", "--task", "ant", "--objectives", "dpo,,orpo"],
    ["tune", "--task", "ant", "--budget", "1e3"],
    ["benchmark", "--task", "ant,hoper"],
    ["benchmark", "--task", "ant", "--data", "mixed:.5,mixed:"],
    ["benchmark", "--task", "ant", "--bin-width", "-1"],
    ["agents", "train", "--task", "ant", "--steps", "0"],
    ["agents", "lost"],
    ["data", "describe", "--dataset", "/"],
    ["report", "."],
    ["list", "objectives", "--member", "[/x]"],
    ["list", "strategies"],
]


@pytest.mark.parametrize(
    "command", [*PROCESSES[:3], *(pytest.param(command, marks=pytest.mark.slow) for command in PROCESSES[3:])]
)
def test_real_processes(tmp_path, command):
    arguments = [os.fsencode(argument) for argument in command]
    found = subprocess.run([MPO, *arguments], cwd=tmp_path, capture_output=True, check=False)
    assert found.returncode == (0 if command[0] == "list" and "--member" not in command else 2), found
    assert b"Traceback" not in found.stderr
    assert len(found.stderr.splitlines()) == (found.returncode == 2)
    assert not list(tmp_path.iterdir())


def test_the_settings_that_are_fuzzed_are_all_there():
    assert {path[0] for path in PATHS} == {field.alias or name for name, field in RunConfig.model_fields.items()}
