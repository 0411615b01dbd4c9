"""The main job on real physics, once: what it leaves behind, and that it goes on where it stopped."""

import json
import shutil
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
from tensorboardX.proto.event_pb2 import Event
from typer.testing import CliRunner

from adapters.storage.objective_files import read_objective
from adapters.storage.run_folder import RunFolder
from cli import meta_train
from cli.app import app
from helpers.objectives import load_objective
from mpo_experiments.runs.folder import open_run
from mpo_experiments.runs.report import load_report
from mpo_experiments.settings.run_config import build_run, read_config_file

ROWS = ["sft", "dpo", "orpo", "simpo", "cpo", "tempo", "start", "discovered"]


def invoke(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)


@pytest.fixture(scope="module")
def run(smoke_run):
    return smoke_run


def events(folder: Path) -> dict[str, int]:
    """How many scalars of each name the TensorBoard files hold."""
    count: dict[str, int] = {}
    for path in (folder / "tensorboard").iterdir():
        content = path.read_bytes()
        while content:  # length, its checksum, the event, its checksum
            size = int.from_bytes(content[:8], "little")
            for value in Event.FromString(content[12 : 12 + size]).summary.value:
                count[value.tag] = count.get(value.tag, 0) + 1
            content = content[16 + size :]
    return count


def test_it_succeeds_and_names_what_comes_next(run):
    found, folder = run
    assert found.exit_code == 0, found.output
    assert all(name in found.stdout for name in [*ROWS, "original", "target", "discovered minus"])
    flat = found.stdout.replace("\n", "")
    assert f"mpo train --task halfcheetah --data mixed:0.75 --preset smoke --objective {folder}" in flat
    assert f"{folder}/figures/fitness.png" in flat


def test_the_configuration_repeats_the_run(run):
    _, folder = run
    _, config = open_run(folder)
    assert (config.tasks, config.preset, config.seed, config.kinds) == (("halfcheetah",), "smoke", 5, ("mixed:0.75",))
    written = json.loads((folder / "config.json").read_text())
    provenance = written["provenance"]
    assert {"versions", "devices", "backend", "agents_sha256", "data_sha256"} <= provenance.keys()
    assert provenance["devices"] == {"platform": "cpu", "count": 2, "kind": "cpu"}


def test_its_configuration_starts_another(run, monkeypatch, tmp_path):
    _, folder = run
    started = []
    monkeypatch.setattr(meta_train, "_run", lambda *given: started.append(given))
    found = invoke("meta-train", "--config", folder / "config.json", "--out", tmp_path, "--seed", 6)
    assert found.exit_code == 0
    expected = build_run(read_config_file(folder / "config.json"), {"seed": 6})
    assert [given[:2] for given in started] == [(expected, tmp_path)]


def test_every_generation_is_recorded(run):
    _, folder = run
    records = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [record["generation"] for record in records] == [0, 1]
    assert records[0]["mean"] == pytest.approx(records[0]["start"], rel=1e-5)
    assert records[1]["mean"] != records[1]["start"]
    assert all(record["failed"] == 0 and record["best"] >= record["population_mean"] for record in records)
    names = {name.removeprefix("search/"): count for name, count in events(folder).items()}
    assert names == {name: 2 for name in records[0] if name != "generation"}
    assert sorted(path.stem for path in (folder / "checkpoints").glob("*.safetensors")) == ["000001", "000002"]


def test_the_objective_loads_and_has_moved(run):
    _, folder = run
    card, objective = read_objective(folder)
    assert card["init"].startswith("orpo:lam=0.1")
    assert card["provenance"]["task"] == "halfcheetah"
    assert load_objective(str(folder)).monotone
    assert abs(objective.psi.log_amplitude - np.log(0.02)).max() > 1e-3


def test_the_report_holds_every_unit_of_every_row(run):
    _, folder = run
    (report,) = load_report(folder).cells
    assert [row.name for row in report.rows] == ROWS
    assert all(len(row.sampled) == len(row.mode) == report.units == 2 for row in report.rows)
    assert report.target > report.original
    # one generation of learning at most: the discovered one is still near where it began, and not the same
    assert report.row("discovered").sampled != report.row("start").sampled


def test_the_figures_open(run):
    _, folder = run
    figures = sorted((folder / "figures").iterdir())
    assert [figure.name for figure in figures] == ["fitness.png", "maps.png"]
    for figure in figures:
        image = matplotlib.image.imread(figure)
        assert min(image.shape[:2]) > 300
        assert image[..., :3].std() > 0.01


def test_nothing_else_is_left(run):
    _, folder = run
    names = {path.name for path in folder.iterdir()}
    assert names == {
        ".lock", "config.json", "metrics.jsonl", "tensorboard", "checkpoints", "objective.json",
        "objective.safetensors", "report.json", "report.html", "figures",
    }  # fmt: skip
    assert not list(folder.rglob("*.tmp"))


def test_a_finished_run_prints_its_result_again(run):
    found, folder = run
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    again = invoke("meta-train", "--resume", folder)
    assert again.exit_code == 0
    table = found.stdout[
        found.stdout.index("halfcheetah, mixed:0.75: normalised") : found.stdout.index("Run folder   ")
    ]
    assert table in again.stdout
    assert before == {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_damaged_report_is_refused(run, tmp_path):
    _, folder = run
    copy = shutil.copytree(folder, tmp_path / "copy")
    (copy / "report.json").write_text("{}")
    found = invoke("meta-train", "--resume", copy)
    assert found.exit_code == 2
    assert "is damaged; remove it and resume the run" in found.stderr


@pytest.mark.parametrize("lost", ["000002.*", "nothing"], ids=["before the last generation", "after it"])
def test_an_interrupted_run_ends_as_if_it_never_stopped(run, tmp_path, lost):
    _, folder = run
    copy = shutil.copytree(folder, tmp_path / "copy")
    for path in copy.glob("objective.*"):
        path.unlink()
    for path in copy.glob(f"checkpoints/{lost}"):
        path.unlink()
    (copy / "report.json").unlink()
    shutil.rmtree(copy / "figures")
    found = invoke("meta-train", "--resume", copy)
    assert found.exit_code == 0, found.output
    for name in ("objective.safetensors", "objective.json", "report.json", "figures/maps.png"):
        assert (copy / name).read_bytes() == (folder / name).read_bytes(), name
    ours, theirs = (RunFolder(path).metrics() for path in (copy, folder))
    assert [record | {"seconds": 0} for record in ours] == [record | {"seconds": 0} for record in theirs]
