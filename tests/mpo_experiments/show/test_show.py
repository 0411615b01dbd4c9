"""`mpo show`: figures over what a training met, in one page that needs nothing else."""

import base64
import dataclasses
import re
import shutil
import subprocess
import sys
import types
from pathlib import Path

import jax
import matplotlib.image
import numpy as np
import pytest
from typer.testing import CliRunner

from adapters.storage.objective_files import save_objective
from adapters.storage.run_folder import RunFolder
from cli.app import app
from helpers.browser import browse
from helpers.objectives import learned_start
from helpers.toy_task import TOY_HORIZON
from mpo_core.data.specification import parse_data_spec
from mpo_core.evaluation.comparison import Comparison, ComparisonSettings
from mpo_core.losses.catalogue import make_objective
from mpo_core.seeds import Stream
from mpo_core.settings import EvaluationSettings, InnerLoopSettings, RowSettings
from mpo_core.training.inner_loop import train
from mpo_core.training.learners import row_log_probs
from mpo_experiments.objectives.named import parse_objective
from mpo_experiments.progress import SilentReporter
from mpo_experiments.runs.folder import open_run
from mpo_experiments.runs.report import load_report
from mpo_experiments.settings.run_config import build_config, build_run
from mpo_experiments.show.curves import return_curves
from mpo_experiments.show.html import HtmlTable, Section, page
from mpo_experiments.show.inputs import RANGE_TOKENS, range_inputs
from mpo_experiments.show.kinds import kinds_met, kinds_sentence, shares_over_training
from mpo_experiments.show.pull import depends_on_time, pulls_over_training, row_pulls
from mpo_experiments.show.run import write_run_report
from mpo_experiments.show.subject import Shown, find_subject, references
from mpo_experiments.show.training import trained_inputs
from mpo_experiments.testbed import Testbed
from mpo_experiments.tuning.tuned import TUNED_DIR_VARIABLE, load_tuned, save_tuned

SETTINGS = ComparisonSettings(
    spec=parse_data_spec("base"),
    rows=RowSettings(8, TOY_HORIZON),
    inner=InnerLoopSettings(epochs=3, learning_rate=1e-2),
    evaluation=EvaluationSettings(episodes=2, horizon=TOY_HORIZON),
    seed=0,
    stream=Stream.SELECTION,
    units=2,
)
WITHOUT_SIMULATOR = """
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("brax", "mujoco", "evosax"):
            raise ImportError(name)
sys.meta_path.insert(0, Refuse())
import cli; cli.main()
"""


def shown(text, sft_epochs=0):
    one = find_subject(parse_objective(text), 3)
    return Shown(one.name, one.objective, one.mirror, sft_epochs, one.note)


@pytest.fixture(scope="module")
def met(toy_program, toy_agents):
    """What TeMPO and, after an epoch of SFT, DPO met on the toy task; and the unit they trained on."""
    inputs = trained_inputs(toy_program, toy_agents, [shown("tempo"), shown("dpo", 1)], SETTINGS, SilentReporter())
    unit = jax.tree.map(lambda leaf: leaf[0], Comparison(toy_program, toy_agents, SETTINGS).make_units(range(1)))
    return inputs, unit


@pytest.fixture(scope="module")
def range_page(tmp_path_factory):
    """`mpo show tempo --range -6` in a process where nothing can simulate."""
    folder = tmp_path_factory.mktemp("range")
    command = [sys.executable, "-c", WITHOUT_SIMULATOR, "show", "tempo", "--range", "-6", "--out", "page"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder / "page"


def assert_whole(folder):
    """The page embeds every figure beside it, byte for byte, and refers to nothing else."""
    text = (folder / "report.html").read_text()
    embedded = [base64.b64decode(one) for one in re.findall(r'src="data:image/png;base64,([^"]+)"', text)]
    assert sorted(embedded) == sorted(path.read_bytes() for path in (folder / "figures").glob("*.png"))
    bare = re.sub(r'src="data:[^"]+"', "", text)
    assert not re.search(r"https?:|//|<script|<link|src=|url\(|@import", bare)
    assert "arXiv 2411.06568" in bare
    return bare


# -- what objectives met -----------------------------------------------------------------------------------------------


def test_inputs_are_those_of_a_training(met, toy_original):
    (tempo, dpo), unit = met
    policy, _ = train(
        make_objective("tempo"), toy_original, unit.rows, SETTINGS.inner, key=unit.training_key,
        reference=unit.reference,
    )  # fmt: skip
    assert tempo.log_prob.shape == (4, 8, 2)
    np.testing.assert_allclose(tempo.log_prob[0], unit.reference, rtol=1e-6)
    np.testing.assert_allclose(tempo.log_prob[-1], row_log_probs(policy, unit.rows), rtol=1e-4)
    np.testing.assert_array_equal(tempo.reference, np.broadcast_to(unit.reference, (4, 8, 2)))
    np.testing.assert_array_equal(dpo.reference[0], unit.reference)
    np.testing.assert_array_equal(dpo.reference[1:], np.broadcast_to(dpo.log_prob[1], (3, 8, 2)))


def test_the_realised_range_comes_from_the_data(met):
    tempo, dpo = met[0]
    for inputs, mirror, values in (
        (tempo, shown("tempo").mirror, tempo.means),
        (dpo, shown("dpo").mirror, dpo.log_prob[1:]),
    ):
        realised = inputs.realised(mirror)
        assert (realised["phi_inv"].min(), realised["phi_inv"].max()) == (values.min(), values.max())
        assert (realised["g"].min(), realised["g"].max()) == (values[..., 0].min(), values[..., 0].max())
    bracket = 2.0 * (tempo.means[..., 0] - tempo.means[..., 1])
    np.testing.assert_allclose(np.sort(tempo.realised(shown("tempo").mirror)["psi"]), np.sort(bracket.ravel()), 1e-3)


def test_a_range_stands_for_every_pair():
    inputs = range_inputs(-4.0)
    assert (inputs.means.min(), inputs.reference.max()) == (-4.0, -2.0 * RANGE_TOKENS)
    assert len(np.unique(inputs.means[0], axis=0)) == inputs.means.shape[1]


# -- pulls -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("id", ["orpo", "dpo", "irpo", "tempo"])
def test_pulls_are_gradients_in_the_means(id):
    objective, inputs, step = make_objective(id), range_inputs(-3.0), 1e-2

    def losses(side, by):
        moved = np.array(inputs.log_prob)
        moved[..., side] += by * RANGE_TOKENS
        pair = dataclasses.replace(inputs, log_prob=moved).pair(0)
        return np.asarray(jax.vmap(lambda row: objective(jax.tree.map(lambda leaf: leaf[None], row), 0.4)[0])(pair))

    pulls = row_pulls(objective, inputs.pair(0), 0.4)
    for side in (0, 1):
        slope = -(losses(side, step) - losses(side, -step)) / (2 * step)
        off = np.abs(pulls[:, side] - slope) > 0.05 * np.abs(slope) + 0.05 * np.abs(pulls).max()
        assert off.mean() < 0.1  # kinks are allowed


def test_time_is_seen_where_there_is_some():
    inputs = range_inputs(-3.0)
    assert depends_on_time(make_objective("tempo"), inputs)
    assert not depends_on_time(make_objective("simpo"), inputs)


def test_weights_begin_with_those_of_sft(met):
    pulls = pulls_over_training(make_objective("dpo"), met[0][1])
    np.testing.assert_allclose(pulls[0], np.tile([1.0, 0.0], (8, 1)), atol=1e-6)
    np.testing.assert_allclose(pulls[1:, :, 0], -pulls[1:, :, 1], rtol=1e-3)


def test_the_pull_is_shared_among_kinds_of_pairs(met):
    (tempo, _), unit = met
    source = np.asarray(unit.rows.source)
    held = kinds_met(tempo.source)
    assert sum(rows.sum() for rows in held.values()) == len(source)
    assert (held[1, 0] == ((source[:, 0] == 1) & (source[:, 1] == 0))).all()
    shares = shares_over_training(shown("tempo"), tempo)
    np.testing.assert_allclose(np.sum(list(shares.values()), axis=0), 1.0, rtol=1e-5)
    only = dataclasses.replace(tempo, source=np.tile([0, 0], (len(source), 1)))
    np.testing.assert_allclose(shares_over_training(shown("tempo"), only)[0, 0], 1.0, rtol=1e-5)
    even = shares_over_training(shown("sft"), tempo)  # pulls at every row alike
    for kind, rows in held.items():
        np.testing.assert_allclose(even[kind], rows.mean(), rtol=0.25)
    assert "of all rows" in kinds_sentence(shown("tempo"), tempo)


# -- objectives beside it ----------------------------------------------------------------------------------------------


def test_references_are_tuned_where_a_task_is_named():
    config = build_config({"task": "halfcheetah"})
    assert [one.name for one in references(config, shown("tempo"))] == [
        f"{id} (tuned)" for id in ("tempo", "dpo", "orpo", "simpo")
    ]
    assert [one.name for one in references(None, shown("dpo"))] == ["tempo", "orpo", "simpo"]


def test_references_are_trained_as_they_were_tuned(tmp_path, monkeypatch, toy_program, toy_agents):
    cell = load_tuned("halfcheetah", "mixed:0.75")
    found = cell.objectives["orpo"].model_copy(update={"learning_rate": 3e-3, "sft_epochs": 4})
    save_tuned(tmp_path, cell.model_copy(update={"tune": ["learning-rate", "schedule"], "objectives": {"orpo": found}}))
    monkeypatch.setenv(TUNED_DIR_VARIABLE, str(tmp_path))
    orpo = references(build_config({"task": "halfcheetah"}), shown("tempo"))[-2]
    assert (orpo.name, orpo.sft_epochs, orpo.learning_rate) == ("orpo (tuned)", 4, 3e-3)
    assert "learning rate=0.003" in orpo.note
    one = dataclasses.replace(orpo, sft_epochs=0)
    slow = dataclasses.replace(one, learning_rate=None)
    fast, usual = trained_inputs(toy_program, toy_agents, [one, slow], SETTINGS, SilentReporter())
    assert np.abs(fast.log_prob[1] - usual.log_prob[1]).max() > 0.01


def test_what_is_no_member_has_no_maps():
    assert find_subject(parse_objective("kto"), 12).mirror is None
    assert "separately" in find_subject(parse_objective("kto"), 12).note


# -- the page ----------------------------------------------------------------------------------------------------------


def test_a_range_needs_no_simulator(range_page):
    text = assert_whole(range_page)
    assert {path.name for path in (range_page / "figures").iterdir()} == {"functions.png", "field.png"}
    assert "Nothing was trained" in text
    assert "--train" in text


def test_a_browser_shows_it_without_network(range_page, tmp_path):
    picture = tmp_path / "page.png"
    copy = Path(shutil.copy(range_page / "report.html", tmp_path))
    browse(copy, "--virtual-time-budget=5000", "--window-size=1000,4200", f"--screenshot={picture}")
    pixels = matplotlib.image.imread(picture)[..., :3]
    orange = (np.abs(pixels - np.array([0xE0, 0x76, 0x3A]) / 255) < 0.03).all(-1)
    assert orange.sum() > 20_000  # the gradient field and the curves are there


def test_texts_are_escaped():
    table = HtmlTable(("<a>",), (("<b>",),), "<c>")
    text = page("<d>", [Section("<e>", ("<f>",), "<g>", table=table)])
    assert not re.search("<[a-g]>", text)
    assert text.count("&lt;") == 7


def test_commands_in_a_text_are_code():
    text = page("d", [Section("e", ("run `mpo show <id>` again",))])
    assert "<p>run <code>mpo show &lt;id&gt;</code> again</p>" in text


@pytest.mark.slow
def test_a_run_is_shown_in_its_folder(smoke_run, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(smoke_run[1], folder)
    brief = write_run_report(*open_run(folder), load_report(folder)).read_text()
    assert brief.count("data:image/png") == 2
    assert "Final table" in brief
    found = CliRunner().invoke(app, ["show", str(folder), "--train", "--units", "2"], catch_exceptions=False)
    assert found.exit_code == 0, found.output
    (folder / "figures" / "maps.png").unlink()  # of the brief report: functions.png says more
    text = assert_whole(folder)
    assert {path.stem for path in (folder / "figures").iterdir()} == {
        "fitness", "functions", "field", "weights", "kinds", "returns",
    }  # fmt: skip
    for word in (
        "minus start",
        "with mode actions",
        "original, no action noise",
        "After the last epoch",
        "learned from",
        "bin width",
        "tempo (tuned)",
    ):
        assert word in text


class CountingArena(Testbed):
    """Trains nothing: its curves say how many were asked for."""

    asked = 0
    token_width = 0.1  # pyright: ignore[reportAssignmentType, reportIncompatibleMethodOverride]

    def learning_curve(self, candidate, settings, reporter):
        type(self).asked += 1
        flat = np.full((2, 3), float(self.asked))
        return types.SimpleNamespace(return_=flat)

    def normalised(self, returns, evaluation, *, mode=False):
        return returns / 10


def test_curves_are_made_once(tmp_path):
    testbed, both = CountingArena("halfcheetah"), [shown("tempo"), shown("dpo", 1)]
    curves = return_curves(testbed, both, SETTINGS, SilentReporter(), tmp_path)
    np.testing.assert_allclose([curve[0, 0] for curve in curves], [0.1, 0.2])
    np.testing.assert_array_equal(return_curves(testbed, both, SETTINGS, SilentReporter(), tmp_path), curves)
    assert testbed.asked == 2
    return_curves(testbed, [shown("tempo:lam=2")], SETTINGS, SilentReporter(), tmp_path)
    assert testbed.asked == 3  # other settings, another curve


# -- refusals ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("tempi",), "did you mean 'tempo'"),
        (("dpo:beat=1",), "did you mean 'beta'?"),
        (("runs/none",), "cannot be read"),
        (("./empty",), "holds neither a run (config.json) nor an objective"),
        (("./unfinished",), "finish it with `mpo meta-train --resume unfinished`"),
        (("dpo", "--task", "halfcheeta"), "did you mean 'halfcheetah'?"),
        (("dpo", "--data", "mixd:0.5"), "mixed"),
        (("dpo", "--range", "-3", "--task", "hopper"), "does not go with --task"),
        (("dpo", "--range", "-3", "--train"), "does not go with --train"),
        (("dpo", "--range", "3"), "lies between -50 and -0.1"),
        (("dpo", "--range", "nan"), "lies between -50 and -0.1"),
        (("dpo", "--range", "-3", "--out", "file"), "is a file, not a folder"),
    ],
)
def test_mistakes_are_refused(arguments, says, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    RunFolder(tmp_path / "unfinished").write_config(build_run({"task": "halfcheetah"}).model_dump(mode="json"))
    found = CliRunner().invoke(app, ["show", *arguments])
    assert (found.exit_code, found.stdout) == (2, "")
    assert says in " ".join(found.stderr.split())


def test_a_run_that_is_written_to_is_left_alone(tmp_path):
    config = build_run({"task": "halfcheetah"})
    folder = RunFolder(tmp_path)
    folder.write_config(config.model_dump(mode="json"))
    save_objective(tmp_path, learned_start("tempo", True), init="tempo", temporal=True, provenance={})
    folder.lock()
    found = CliRunner().invoke(app, ["show", str(tmp_path)])
    assert found.exit_code == 2
    assert "another mpo process is writing to it" in found.stderr
