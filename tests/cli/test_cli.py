"""The command line's manners: one sentence and exit code 2 for a mistake, JSON that scripts can rely on."""

import json
import subprocess
import sys
import time

import pytest

from helpers.command_line import MPO, assert_refused, invoke
from mpo_experiments.tasks.registry import task_names

FOREIGN = {"name": "not ours", "weights": [1, 2]}
TASK = ("--task", "halfcheetah")


@pytest.fixture
def foreign(tmp_path):
    path = tmp_path / "foreign.json"
    path.write_text(json.dumps(FOREIGN))
    return path


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--task", "nosuch"), "unknown task 'nosuch' (allowed: halfcheetah"),
        (("--task", "halfcheeta"), "did you mean 'halfcheetah'?"),
        ((), "'task' is not given"),
        ((*TASK, "--data", "mixed:2"), "takes a share between 0 and 1, not 2"),
        ((*TASK, "--data", "foul"), "unknown data term 'foul'"),
        (
            (*TASK, "--population", "7", "--strategy", "openes"),
            "population 7 is odd, but strategy 'openes' draws antithetic pairs",
        ),
        ((*TASK, "--population", "7", "--strategy", "pgpe"), "use an even number such as 8"),
        ((*TASK, "--strategy", "nosuch"), "unknown strategy 'nosuch' (mpo list strategies shows all)"),
        ((*TASK, "--strategy", "open_es"), "did you mean 'openes' or"),
        ((*TASK, "--preset", "tiny"), "unknown preset 'tiny'"),
        ((*TASK, "--init", "nosuch"), "unknown objective 'nosuch'"),
        ((*TASK, "--init", "ipo"), "increasing"),
        ((*TASK, "--init", "kto"), "kto"),
        ((*TASK, "--init", "missing.json"), "objective file missing.json: cannot be read (No such file"),
        ((*TASK, "--init", "{foreign}"), 'is not an mpo objective (no "format": "mpo-objective")'),
        ((*TASK, "--config", "missing.yaml"), "config file missing.yaml: cannot be read"),
        ((*TASK, "--config", "{foreign}"), "unknown setting 'name'"),
        ((*TASK, "--set", "search.generatons=3"), "unknown search setting 'generatons': did you mean 'generations'"),
        ((*TASK, "--generations", "0"), "generations must be at least 1, not 0"),
        ((*TASK, "--seed", "-1"), "'seed': input should be greater than or equal to 0"),
        ((*TASK, "--report-units", "1"), "'report.units'"),
        (("--resume", "nowhere"), "run folder nowhere: has no config.json"),
        (("--resume", "nowhere", "--seed", "3"), "--resume continues a run with its own settings"),
    ],
)
def test_meta_train_refuses_at_the_door(tmp_path, monkeypatch, foreign, arguments, says):
    monkeypatch.chdir(tmp_path)
    out = tmp_path / "out"
    given = [argument.format(foreign=foreign) for argument in arguments]
    where = () if "--resume" in given else ("--out", out)
    found = invoke("meta-train", *given, *where)
    assert_refused(found.exit_code, found.stdout, found.stderr, says)
    assert not out.exists()
    assert list(tmp_path.iterdir()) == [foreign]


def test_an_out_that_is_a_file_is_refused(foreign):
    for out in (foreign, foreign / "deeper"):
        found = invoke("meta-train", *TASK, "--out", out)
        assert_refused(found.exit_code, found.stdout, found.stderr, "is a file, not a folder")
    assert json.loads(foreign.read_text()) == FOREIGN


def test_a_task_without_agents_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("mpo_experiments.agents.lookup.BUNDLED", tmp_path / "none")
    monkeypatch.delenv("MPO_AGENTS_DIR", raising=False)
    found = invoke("meta-train", *TASK, "--out", tmp_path / "out")
    assert_refused(found.exit_code, found.stdout, found.stderr, "mpo agents train --task halfcheetah")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--task", "nosuch", "--objective", "dpo"), "unknown task 'nosuch'"),
        ((*TASK, "--objective", "nosuch"), "unknown objective 'nosuch'"),
        ((*TASK, "--objective", "dpo:beat=1"), "did you mean 'beta'?"),
        ((*TASK, "--objective", "missing.json"), "objective file missing.json: cannot be read"),
        ((*TASK, "--objective", "{foreign}"), "is not an mpo objective"),
        ((*TASK, "--objective", "dpo", "--data", "mixed:2"), "between 0 and 1"),
        ((*TASK, "--objective", "dpo", "--sft-epochs", "13"), "--sft-epochs 13: preset quick has 12 epochs in all"),
    ],
)
def test_train_refuses_at_the_door(tmp_path, monkeypatch, foreign, arguments, says):
    monkeypatch.chdir(tmp_path)
    given = [argument.format(foreign=foreign) for argument in arguments]
    found = invoke("train", *given, "--out", "scores.json")
    assert_refused(found.exit_code, found.stdout, found.stderr, says)
    assert list(tmp_path.iterdir()) == [foreign]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("data", "describe", "--task", "nosuch", "--data", "base"), "unknown task"),
        (("data", "describe", *TASK, "--data", "mixed:2"), "between 0 and 1"),
        (("tune", "--task", "nosuch"), "unknown task"),
        (("tune", *TASK, "--objectives", "dpo,nosuch"), "unknown objective 'nosuch'"),
        (("agents", "train", "--task", "nosuch"), "unknown task"),
    ],
)
def test_other_commands_refuse_at_the_door(tmp_path, monkeypatch, arguments, says):
    monkeypatch.chdir(tmp_path)
    found = invoke(*arguments)
    assert_refused(found.exit_code, found.stdout, found.stderr, says)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("meta-train", *TASK, "--population", "7", "--strategy", "openes", "--out", "out"), "population 7 is odd"),
        (("train", *TASK, "--objective", "missing.json", "--out", "out/scores.json"), "cannot be read"),
    ],
)
def test_a_refusal_is_quick_as_a_process(tmp_path, arguments, says):
    began = time.monotonic()
    found = subprocess.run([MPO, *arguments], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert time.monotonic() - began < 6  # 3 s on a free machine
    assert_refused(found.returncode, found.stdout, found.stderr, says)
    assert list(tmp_path.iterdir()) == []


def listed(what):
    found = invoke("list", what, "--json")
    assert found.exit_code == 0
    return json.loads(found.stdout)


@pytest.mark.parametrize("what", ["tasks", "objectives", "strategies", "data"])
def test_lists_are_json_arrays_of_named_objects(what):
    names = [entry["name"] for entry in listed(what)]
    assert len(set(names)) == len(names) >= 3
    table = invoke("list", what)
    assert table.exit_code == 0
    assert all(name in table.stdout for name in names)


def test_listed_tasks_carry_the_returns_of_their_agents():
    tasks = {entry["name"]: entry for entry in listed("tasks")}
    assert list(tasks) == task_names()
    measured = [entry for entry in tasks.values() if entry["original"] is not None]
    assert "halfcheetah" in [entry["name"] for entry in measured]
    for entry in measured:
        for role in ("original", "target"):
            assert entry[role].keys() == {"return", "low", "high", "episodes"}
            assert entry[role]["low"] < entry[role]["return"] < entry[role]["high"]
            assert entry[role]["episodes"] >= 256
        assert entry["target"]["low"] > entry["original"]["high"]


def test_listed_objectives_and_strategies_can_be_named():
    from adapters.evosax.entries import strategy_entry
    from mpo_core.losses.catalogue import make_objective, parse_objective_text

    for entry in listed("objectives"):
        id, settings = parse_objective_text(f"{entry['name']}:{entry['settings']}".rstrip(":"))
        make_objective(id, **settings)
    assert all(strategy_entry(entry["name"]) for entry in listed("strategies"))


def test_a_task_without_agents_is_still_listed(tmp_path, monkeypatch):
    monkeypatch.setattr("mpo_experiments.agents.lookup.BUNDLED", tmp_path)
    monkeypatch.delenv("MPO_AGENTS_DIR", raising=False)
    found = invoke("list", "tasks", "--json")
    assert [entry["original"] for entry in json.loads(found.stdout)] == [None] * len(task_names())
    assert "mpo agents train" in found.stderr
    assert invoke("list", "tasks").exit_code == 0


@pytest.mark.parametrize("words", [(), ("meta-train",), ("align", "evaluate"), ("agents", "train"), ("list",)])
def test_help_gives_a_type_to_what_takes_a_value_alone(words):
    told = invoke(*words, "--help").stdout
    assert "--help" in told
    assert "<bool>" not in told
    assert ("<str>" in told) == (len(words) == 2 or words == ("meta-train",))


def test_help_starts_no_jax():
    code = (
        "import sys; sys.argv = ['mpo', '--help']\n"
        "import cli\n"
        "try:\n    cli.main()\n"
        "except SystemExit as end:\n    assert not end.code, end.code\n"
        "heavy = {'jax', 'jaxlib', 'brax', 'evosax', 'equinox', 'mujoco', 'matplotlib', 'scipy'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr
    assert "meta-train" in found.stdout


def test_the_cores_become_devices_and_the_users_flags_stay(monkeypatch):
    from cli.environment import prepare, usable_cores

    monkeypatch.setenv("XLA_FLAGS", "--xla_cpu_enable_fast_math=false")
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR", raising=False)
    monkeypatch.setenv("MPO_CACHE_DIR", "/nowhere")
    prepare()
    import os

    flags = f"--xla_cpu_enable_fast_math=false --xla_force_host_platform_device_count={min(usable_cores(), 32)}"
    assert os.environ["XLA_FLAGS"].startswith(f"{flags} --xla_cpu_collective")
    assert os.environ["JAX_COMPILATION_CACHE_DIR"].startswith("/nowhere/jax/")
    own = "--xla_force_host_platform_device_count=5 --xla_cpu_collective_timeout_seconds=7"
    monkeypatch.setenv("XLA_FLAGS", own)
    prepare()
    assert os.environ["XLA_FLAGS"].startswith(own)
    assert os.environ["XLA_FLAGS"].count("device_count") == os.environ["XLA_FLAGS"].count("collective_timeout") == 1
