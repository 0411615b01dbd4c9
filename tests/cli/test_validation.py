"""What is checked before any work: one sentence, exit code 2, no physics imported, nothing left behind."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
from typer.testing import CliRunner

from adapters.storage.agent_files import CARD_FILE
from adapters.storage.folder_lock import locked_folder
from adapters.storage.sealed import SEAL, seal_of, write_sealed
from cli.app import app
from mpo_experiments.agents.lookup import BUNDLED
from mpo_experiments.runs.folder import create_run, open_run
from mpo_experiments.runs.report import CellReport, Row
from mpo_experiments.settings.run_config import build_config, build_run, read_config_file

TASK = ("--task", "halfcheetah")
OBJECTIVE = (*TASK, "--objective", "dpo")


def invoke(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def refusal(*arguments) -> str:
    """The sentence with which a command is refused."""
    found = invoke(*arguments)
    assert (found.exit_code, found.stdout) == (2, ""), (found.output, found.exception)
    (line,) = found.stderr.splitlines()
    assert line.startswith("Error: ")
    return line.removeprefix("Error: ")


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty working directory."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def unfinished(tmp_path):
    """The folder of a run that was stopped before its first generation."""
    folder = create_run(tmp_path / "runs", build_run({"task": "halfcheetah", "preset": "smoke"}))
    folder.write_config(build_run({"task": "halfcheetah", "preset": "smoke"}).model_dump(mode="json"))
    return folder.path


HELD = (
    ("tune", *TASK), ("benchmark", *TASK), ("benchmark", *TASK, "--only-tables"), ("discover", *TASK),
    ("compare", *TASK, "--variant", "all:"), ("transfer", "--corpus", "corpus.txt"),
    ("align", "--model", "model", "--dataset", "pairs.jsonl"),
)  # fmt: skip
"""Commands that go on with a folder that is there."""


@pytest.mark.parametrize("command", HELD, ids=lambda command: f"{command[0]} {command[-1]}")
def test_a_folder_that_another_process_writes_to_is_refused(here, command):
    if command[0] in ("transfer", "align"):
        pytest.importorskip("trl")
    (here / "corpus.txt").write_text("a line\n")
    (here / "pairs.jsonl").write_text('{"prompt": "a", "chosen": "b", "rejected": "c"}\n')
    folder = here / "out" / "halfcheetah" if command[0] == "tune" else here / "out"
    with locked_folder(folder, "--out"):
        assert refusal(*command, "--out", here / "out") == f"--out {folder}: another mpo process is writing to it"
    assert not (here / "out").exists()


def test_an_unknown_objective_is_refused_without_jax(tmp_path):
    commands = [
        ["train", *TASK, "--objective", "simp:beta=2"],
        ["meta-train", *TASK, "--init", "simp"],
        ["benchmark", *TASK, "--objectives", "dpo, simp"],
        ["compare", *TASK, "--variant", "all:", "--init", "simp", "--out", str(tmp_path / "out")],
        *([name, "simp"] for name in ("show", "export", "distill")),
        ["reframe", "simp", "--task", "ant", "--out", str(tmp_path / "out")],
    ]
    code = (
        "import json, sys\n"
        "from typer.testing import CliRunner\n"
        "from cli.app import app\n"
        f"for arguments in json.loads({json.dumps(json.dumps(commands))}):\n"
        "    found = CliRunner().invoke(app, arguments)\n"
        "    assert found.exit_code == 2, (arguments, found.output)\n"
        "    assert \"unknown objective 'simp': did you mean 'simpo'\" in found.output, (arguments, found.output)\n"
        "    assert 'jax' not in sys.modules, arguments\n"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr


def test_refusals_come_before_the_physics(tmp_path, unfinished):
    (unfinished / "report.json").write_text("{}")
    (tmp_path / "objective.json").write_text("{}")
    commands = [
        ["meta-train", *TASK, "--data", "mixed:2"],
        ["meta-train", *TASK, "--init", str(tmp_path / "objective.json")],
        ["meta-train", *TASK, "--set", "strategy.sigma=.nan"],
        ["meta-train", "--resume", str(unfinished)],
        ["meta-train", "--config", str(tmp_path)],
        ["train", *TASK, "--objective", str(tmp_path)],
        ["train", *OBJECTIVE, "--figure", str(tmp_path)],
        ["tune", *TASK, "--objectives", "nosuch"],
        ["benchmark", *TASK, "--objectives", "dpo,dpo"],
        ["benchmark", *TASK, "--only-tables", "--out", str(tmp_path / "none")],
        ["report", str(unfinished)],
        ["agents", "train", *TASK, "--seed", "-1"],
        ["data", "build", *TASK, "--data", "nosuch"],
        ["data", "describe", "--dataset", str(tmp_path)],
        ["data", "export", *TASK, "--data", "base", "--format", "nosuch"],
        ["list", "objectives", "--needs", "nosuch"],
    ]
    code = (
        "import json, sys\n"
        "from typer.testing import CliRunner\n"
        "from cli.app import app\n"
        "for command in json.loads(sys.argv[1]):\n"
        "    found = CliRunner().invoke(app, command)\n"
        "    assert (found.exit_code, found.stdout) == (2, ''), (command, found.output, found.exception)\n"
        "    assert len(found.stderr.splitlines()) == 1, (command, found.stderr)\n"
        "    physics = {'brax', 'mujoco', 'evosax'} & set(sys.modules)\n"
        "    assert not physics, (command, physics)\n"
    )
    arguments = [sys.executable, "-c", code, json.dumps(commands)]
    found = subprocess.run(arguments, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["objective.json", "runs"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("trian",), "no such command 'trian'. Did you mean 'train'"),
        (("train", "--tsk", "ant"), "no such option: --tsk"),
        (("train", *TASK), "missing option '--objective' (mpo train --help shows what there is)"),
        (("train", *OBJECTIVE, "--units", "1"), "'--units': Input should be greater than or equal to 2"),
        (("train", *OBJECTIVE, "--figure", "x.svg"), "--figure x.svg: name a file that ends in .png"),
        (("train", *OBJECTIVE, "--units", "few"), "'--units': Input should be a valid integer"),
        (("train", *OBJECTIVE, "--units", "10001"), "'--units': Input should be less than or equal to 10000"),
        (("tune", *TASK, "--budget", "1000000"), "'--budget': Input should be less than or equal to 10000"),
        (("tune", *TASK, "--objectives", ""), "unknown objective ''"),
        (("tune", *TASK, "--objectives", "dpo,dpo"), "--objectives dpo,dpo: names one of them twice"),
        (("benchmark", *TASK, "--objectives", "dpo,"), "unknown objective ''"),
        (("benchmark", *TASK, "--bin-width", "nan"), "--bin-width nan: must be at least 1e-6 and at most 1"),
        (("benchmark", *TASK, "--bin-width", "1e-30"), "--bin-width 1e-30: must be"),
        (("benchmark", *TASK, "--rows", "32,many"), "--rows 'many': must be whole numbers of pairs, joined by commas"),
        (("benchmark", *TASK, "--rows", "1"), "rows: count must be >= 2"),
        (("benchmark", *TASK, "--only-tables", "--out", "none"), "--only-tables: none holds none of these cells"),
        (("benchmark", *TASK, "--measure"), "--measure: goes with --dry-run"),
        (("benchmark", *TASK, "--dry-run", "--only-tables"), "--only-tables: does nothing beside --dry-run"),
        (("benchmark", *TASK, "--only-tables", "--pairs", "p"), "--pairs: does nothing beside --only-tables"),
        (("meta-train", "--resume", "x", "--out", "y"), "--out: --resume continues a run in its own folder"),
        (("align", "--resume", "x", "--out", "y"), "--out: --resume continues a run in its own folder"),
        (("align", "evaluate", "--model", "m", "--dataset", "d", "--against", "x"), "--against: goes with --judge"),
        (("diagnose", "--dataset", "d", "--max-length", "9"), "--max-length: goes with --model"),
        (("align", "evaluate", "--model", "m", "--dataset", "d", "--temperature", "1"), "--temperature: goes with"),
        (("align", "evaluate", "--model", "m", "--dataset", "d", "--answers", "a", "--out", "a"), "over the answers"),
        (("render", *TASK, "--data", "base"), "--data: goes with --objective"),
        (("distill", "discovered/ant-mixed75-static", "--units", "9"), "--units: goes with --score"),
        (("show", "tempo", "--units", "9"), "--units: goes with --train"),
        (("show", "tempo", "--seed", "4294967303"), "'--seed': Input should be less than or equal to"),
        (("meta-train", *TASK, "--seed", "1", "--set", "seed=2"), "--set seed: an option of the command line says it"),
        (
            ("meta-train", *TASK, "--population", "8", "--set", "strategy={population: 9}"),
            "--set strategy.population: an",
        ),
        (("align", "--model", "a", "--dataset", "b", "--set", "model=c"), "--set model: an option of the command line"),
        (
            ("agents", "train", "--task", "ant@1", "--seed", "5"),
            "'ant@1' is the pair of seed 1; that of seed 5 is ant@5",
        ),
        (("agents", "train", *TASK, "--seed", str(2**31)), "'--seed': Input should be less than or equal to"),
        (("agents", "train", *TASK, "--steps", "1" + "0" * 30), "'--steps': Input should be less than or equal to"),
        (("train", *TASK, "--objective", "/"), "objective file /objective.json: cannot be read (No such file"),
        (("train", *TASK, "--objective", "b" * 300 + ".json"), "File name too long"),
        (("train", *TASK, "--objective", "/dev/zero"), "objective file /dev/zero"),
        (("train", *TASK, "--objective", "dpo:beta=1e400"), "beta is a finite number"),
        (
            ("train", *TASK, "--objective", "robust_dpo:epsilon=0.5"),
            "objective 'robust_dpo': epsilon must be at least 0 and below 0.5, not 0.5",
        ),
        (("meta-train", *TASK, "--init", "dpo:beta=-1"), "objective 'dpo': beta must be above 0 and at most 1000000"),
        (("export", "ipo:tau=0"), "objective 'ipo': tau must be at least 1e-06 and at most 1000000, not 0.0"),
        (("train", "--task", "ä\n\x1b[31m", "--objective", "dpo"), r"unknown task 'ä\n\x1b[31m'"),
        (("meta-train", "--task", "x" * 10_000), "unknown task 'xxx"),
        (("report", "no\nsuch"), r"run folder no\nsuch: has no report.json"),
        (("report", "."), "has no report.json: it is not finished, or no run folder"),
    ],
)
def test_options_are_refused_in_one_sentence(here, arguments, says):
    said = refusal(*arguments)
    assert says in said
    assert len(said) < 1600
    assert not list(here.iterdir())


@pytest.mark.parametrize(
    ("option", "name", "says"),
    [
        ("--figure", "folder", "folder: is a folder, name a file"),
        ("--figure", "file/deeper", "file is a file, not a folder"),
        ("--figure", "/dev/null", "/dev/null: is no regular file"),
        ("--figure", "x" * 300, "File name too long"),
        ("--out", "folder.json", "folder.json: is a folder, name a file"),
        ("--out", "file/deeper.json", "file is a file, not a folder"),
        ("--out", "file/deeper", "file is a file, not a folder"),
        ("--out", "/dev/null", "is a file, not a folder"),
        ("--out", "x" * 300, "File name too long"),
    ],
)
def test_files_that_could_not_be_written_are_refused_before_the_work(here, option, name, says):
    for folder in ("folder", "folder.json"):
        (here / folder).mkdir()
    (here / "file").write_text("kept")
    assert says in refusal("train", *OBJECTIVE, option, name)
    assert sorted(path.name for path in here.iterdir()) == ["file", "folder", "folder.json"]
    assert (here / "file").read_text() == "kept"


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("inner.learning_rate=.nan", "must be positive and finite"),
        ("inner.learning_rate=.inf", "must be positive and finite"),
        ("inner.max_grad_norm=1e-200", "must be positive and finite"),
        ("strategy.sigma=.nan", "must be positive and finite"),
        ("strategy.learning_rate_decay=.inf", "must be positive and finite"),
        ("rows.count=9999999999999999999999", "rows: count must be at most 1000000"),
        ("search.bank_pairs=1" + "0" * 400, "search: bank_pairs must be at most 10000000, not that much"),
        ("report.evaluation.horizon=1000000000", "evaluation: horizon must be at most 1000000"),
        ("strategy.population=10000000", "population must be at most"),
        ("report.units=1000000000", "'report.units': input should be less than or equal to 10000"),
        ("seed=.nan", "'seed': input should be a finite number"),
        ("provenance.versions=3", "is no setting"),
        (".".join("a" * 4000) + "=1", "is no setting"),
        ("rows=" + "[" * 5000, "the value cannot be read"),
        ("rows=" + "[" * 100 + "]" * 100, "'rows': "),
        ("rows.count=&a [*a]", "'rows.count': "),
        ("preset=&a {b: *a}", "unknown preset 'dict'"),
        ("rows.1=2", "unknown rows setting '1'"),
        ("1=2", "unknown setting '1'"),
    ],
)
def test_absurd_settings_are_refused(here, override, says):
    assert says in refusal("meta-train", *TASK, "--out", "out", "--set", override)
    assert not list(here.iterdir())


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.yaml", "&a\ntask: halfcheetah\nrows: *a\n", "unknown rows setting"),
        ("a.yaml", "task: halfcheetah\nrows: {? {a: 1} : 2}\n", "is not valid YAML"),
        ("a.yaml", "task: halfcheetah\nrows: {null: 3, 2: 4}\n", "rows"),
        ("a.yaml", "1: 2\n", "must hold settings by name"),
        ("a.yaml", "task: !!python/object/apply:os.system [ls]\n", "is not valid YAML"),
        ("a.yaml", "task: !!binary aGFsZg==\n", "'task': must be a name, or several in a list or joined by commas"),
        ("a.yaml", "- " * 3000, "is not valid YAML"),
        ("a.json", '{"task": "halfcheetah", "seed": NaN}', "is not valid JSON"),
        ("a.json", "[" * 100_000, "is not valid JSON"),
        ("a.json", '{"task": ' + "9" * 5000 + "}", "is not valid JSON"),
        ("a.json", '{"task": "halfcheetah", "schema_version": 0}', "a.json: has schema version 0, this mpo reads 1"),
        ("a.json", '{"task": "halfcheetah", "schema_version": "two"}', "has schema version two, this mpo reads 1"),
        ("a.json", '{"task": "halfcheetah", "sha256": "0"}', "does not match its own hash"),
        ("a.json", '{"task": "halfcheetah", "init": "a\\u0000/b"}', "cannot be read"),
        ("a.yaml", "task: halfcheetah\nreport: {evaluation: {horizon: [1]}}\n", "'report.evaluation.horizon'"),
    ],
)
def test_odd_config_files_are_refused(here, tmp_path, name, content, says):
    path = tmp_path / name
    path.write_text(content)
    assert says in refusal("meta-train", "--config", path, "--out", "out")
    assert not list(here.iterdir())


def test_anchors_and_a_byte_order_mark_are_read(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text("\ufefftask: ant\nsearch: &size {horizon: 300}\nreport: {evaluation: *size}\n")
    config = build_config(read_config_file(path))
    assert config.search.horizon == config.report.evaluation.horizon == 300


def test_a_run_s_configuration_says_if_it_was_edited(unfinished):
    path = unfinished / "config.json"
    edited = json.loads(path.read_text()) | {"seed": 7}
    path.write_text(json.dumps(edited))
    for arguments in (("--resume", unfinished), ("--config", path)):
        said = refusal("meta-train", *arguments)
        assert "does not match its own hash, so it is damaged or was edited" in said
        assert "remove its line 'sha256'" in said
    del edited[SEAL]
    path.write_text(json.dumps(edited))
    assert open_run(unfinished)[1].seed == 7


@pytest.mark.parametrize("provenance", [3, [], {"resumed": 3}])
def test_a_foreign_provenance_is_refused(unfinished, provenance):
    path = unfinished / "config.json"
    write_sealed(path, json.loads(path.read_text()) | {"provenance": provenance})
    assert "its 'provenance' is not what a run writes" in refusal("meta-train", "--resume", unfinished)


def test_an_unfinished_run_is_not_resumed_with_damaged_agents(unfinished, tmp_path, monkeypatch):
    monkeypatch.setenv("MPO_AGENTS_DIR", str(tmp_path / "agents"))
    own = shutil.copytree(BUNDLED / "halfcheetah", tmp_path / "agents" / "halfcheetah")
    content = bytearray((own / "target.safetensors").read_bytes())
    (own / "target.safetensors").write_bytes(content[:-3])
    assert "target.safetensors does not match the hash" in refusal("meta-train", "--resume", unfinished)
    card = json.loads((own / CARD_FILE).read_text())
    (own / CARD_FILE).write_text(json.dumps(card | {"schema_version": 7}))
    for command in (("train", *OBJECTIVE), ("tune", *TASK), ("benchmark", *TASK), ("meta-train", *TASK)):
        assert "has schema version 7, this mpo reads 1" in refusal(*command)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"schema_version": 2}, "has schema version 2, this mpo reads 1"),
        ({"task": "ant"}, "are of ant, mixed:0.75, not of halfcheetah, mixed:0.75"),
        ({"objectives": {"dpo": {"settings": {"beat": 1.0}}}}, "are damaged; write them anew with `mpo tune`"),
        ({"objectives": 3}, "are damaged; write them anew with `mpo tune` ('objectives'"),
    ],
)
def test_tuned_settings_that_would_fail_later_are_refused(here, tmp_path, monkeypatch, change, says):
    from mpo_experiments.tuning.tuned import BUNDLED as TUNED

    monkeypatch.setenv("MPO_TUNED_DIR", str(tmp_path))
    good = json.loads((TUNED / "halfcheetah" / "mixed0.75.json").read_text())
    good.pop(SEAL)
    path = tmp_path / "halfcheetah" / "mixed0.75.json"
    path.parent.mkdir()
    path.write_text(json.dumps(good | change))
    said = refusal("meta-train", *TASK, "--out", "out").replace(" is damaged", " are damaged")
    assert says in said
    path.write_text(json.dumps(good | {SEAL: "0"}))
    assert "does not match its own hash" in refusal("meta-train", *TASK, "--out", "out")
    assert not list(here.iterdir())


def finished(folder, names=("orpo", "start", "discovered"), **changes):
    rows = [
        Row(name=name, note="", sampled=[0.0, place], mode=[0.0, 1.0], clamped=0.0) for place, name in enumerate(names)
    ]
    fields = {"task": "ant", "data": "base", "preset": "quick", "init": "tempo", "units": 2, "seed": 1}
    report = CellReport.model_construct(rows=rows, **fields, original=0.0, target=1.0)
    value = report.model_dump(mode="json") | changes
    value["schema_version"] = changes.get("schema_version", 1)
    write_sealed(folder / "report.json", value)
    return folder


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"units": 3}, "a row has not one score for each of 3 units"),
        ({"names": ("start", "discovered")}, "its rows are not hand-written objectives, then start and discovered"),
        ({"names": ("orpo", "orpo", "start", "discovered")}, "its rows are not"),
        ({"target": float("nan")}, "is not JSON"),
        ({"schema_version": 3}, "has schema version 3, this mpo reads 1"),
        ({"colour": 3}, "is damaged; remove it and resume the run to make it anew ('colour'"),
    ],
)
def test_reports_that_are_not_whole_are_refused(tmp_path, changes, says):
    assert says in refusal("report", finished(tmp_path / "run", **changes))


def test_an_edited_report_is_refused(tmp_path):
    path = finished(tmp_path / "run") / "report.json"
    value = json.loads(path.read_text()) | {"seed": 2}
    path.write_text(json.dumps(value))
    assert "does not match its own hash, so it is damaged or was edited; remove it" in refusal("report", path.parent)
    del value[SEAL]  # as of before there were hashes
    path.write_text(json.dumps(value))
    assert invoke("report", path.parent).exit_code == 0


def test_names_with_brackets_are_printed_as_they_are(tmp_path):
    found = invoke(
        "report", finished(tmp_path / "[/red] [bold]"), finished(tmp_path / "b", seed=2), "--out", "/dev/null"
    )
    assert found.exit_code == 2
    found = invoke("report", finished(tmp_path / "[red] [bold]"), finished(tmp_path / "[", seed=2))
    assert found.exit_code == 0, found.exception
    assert "[red] [bold], seed 1" in found.stdout


def test_a_seal_does_not_depend_on_the_order_of_names():
    assert seal_of({"a": 1, "b": {"d": 0.1, "c": (2,)}}) == seal_of({"b": {"c": [2], "d": 0.1}, "a": 1, SEAL: "x"})
    assert seal_of({"a": 1}) != seal_of({"a": 2})
    assert seal_of({"a": {2: 1, 10: 1}}) == seal_of(json.loads(json.dumps({"a": {2: 1, 10: 1}})))


def test_a_cell_with_numbers_that_are_none_is_refused():
    from mpo_experiments.benchmark.cell import Entry

    with pytest.raises(ValueError, match="finite"):
        Entry(
            id="dpo", settings={}, sft_epochs=0, tried=1, tuning_score=0.0, sees=[], sampled=[np.nan], mode=[0.0],
            clamped=0.0,
        )  # fmt: skip


def test_a_run_that_only_the_simulator_could_refuse_leaves_nothing_behind(here, monkeypatch):
    from mpo_experiments.testbed import Testbed

    monkeypatch.setattr(Testbed, "_known_constants", lambda self, horizon, mode: (30.0, 29.0))
    found = invoke("meta-train", *TASK, "--preset", "smoke", "--out", "out")
    assert found.exit_code == 2
    assert found.stderr.splitlines()[-1].startswith("Error: horizon 50 is too short for task 'halfcheetah'")
    assert not list((here / "out").iterdir())


def test_agents_of_another_task_are_refused(tmp_path, monkeypatch):
    from mpo_core.settings import UnusableSetting
    from mpo_experiments.testbed import Testbed

    own = shutil.copytree(BUNDLED / "hopper", tmp_path / "halfcheetah")
    card = json.loads((own / CARD_FILE).read_text())
    (own / CARD_FILE).write_text(json.dumps(card | {"task": "halfcheetah"}))
    monkeypatch.setenv("MPO_AGENTS_DIR", str(tmp_path))
    with pytest.raises(UnusableSetting, match="see 11 numbers and act by 3, but the task has 17 and 6"):
        _ = Testbed("halfcheetah").agents
