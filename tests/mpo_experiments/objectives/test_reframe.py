"""A learned objective moved to where another policy has its log-probs."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from typer.testing import CliRunner

from adapters.storage.objective_files import save_objective
from adapters.storage.objective_paths import CARD_NAME
from cli.app import app
from helpers.learned import random_learned
from helpers.objectives import canonical_text, learned_start, load_objective
from mpo_core.losses.members import as_mirror
from mpo_core.mirror.learned import learned_mirror, with_frame
from mpo_core.mirror.monotone_network import UNIT_FRAME, Frame
from mpo_experiments.objectives.frames import LEAST_WIDTH, frame_of

THERE, HERE = Frame(-3.0, 1.1), Frame(-1.5, 0.4)


@pytest.fixture(scope="module")
def learned():
    return random_learned(learned_start("tempo:beta=1.5", True, True, THERE), jax.random.key(0), 0.4)


@pytest.fixture
def folder(tmp_path, learned):
    path = tmp_path / "found"
    path.mkdir()
    init = canonical_text("tempo:beta=1.5")
    save_objective(path, learned, init=init, temporal=True, provenance={"task": "halfcheetah"})
    return path


def run(*arguments) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["reframe", *map(str, arguments)])
    return result.exit_code, result.output


def test_every_unit_keeps_its_place_between_the_two_ends(learned):
    moved, z = with_frame(learned, HERE), jnp.linspace(-2.0, 0.5, 9)
    for name in ("phi_inv", "g"):
        before, after = (getattr(one, name).network(at.centre + at.width * z, 0.4) / at.width
                         for one, at in ((learned, THERE), (moved, HERE)))  # fmt: skip
        np.testing.assert_allclose(before, after, rtol=2e-4, atol=1e-6)
    assert float(moved.psi.network.width) == pytest.approx(1.5 * 0.4)
    assert not np.allclose(moved.phi_inv(-2.0 + z, 0.4), learned.phi_inv(-2.0 + z, 0.4), rtol=1e-4)


def test_there_and_back_is_the_same_objective(learned):
    back = with_frame(with_frame(learned, HERE), THERE)
    jax.tree.map(lambda one, other: np.testing.assert_allclose(one, other, rtol=1e-6), back, learned)


def test_the_command_writes_an_objective_with_its_history(folder, tmp_path, learned):
    code, said = run(folder, "--own", -1.5, "--wanted", -1.9, "--out", tmp_path / "moved")
    assert code == 0, said
    moved = load_objective(str(tmp_path / "moved"))
    expected = with_frame(learned, HERE)
    jax.tree.map(lambda one, other: np.testing.assert_allclose(one, other, rtol=1e-5), moved, expected)
    told = json.loads((tmp_path / "moved" / CARD_NAME).read_text())["provenance"]
    assert told["task"] == "halfcheetah"
    assert (told["reframed"]["source"], told["reframed"]["centre"]) == (str(folder), -1.5)


def test_a_task_says_where_its_log_probs_lie(folder, tmp_path):
    assert run(folder, "--task", "hopper", "--out", tmp_path / "moved")[0] == 0
    frame = frame_of(["hopper"])
    assert float(load_objective(str(tmp_path / "moved")).g.network.centre) == pytest.approx(frame.centre)
    assert frame_of(["hopper", "ant"]).centre == pytest.approx((frame.centre + frame_of(["ant"]).centre) / 2)


def test_cards_that_do_not_know_are_left_out(monkeypatch):
    known = {"a": (-2.0, -2.5), "old": None, "alike": (-2.0, -2.0)}
    monkeypatch.setattr(
        "mpo_experiments.objectives.frames.load_card", lambda task: type("Card", (), {"token_log_probs": known[task]})
    )
    assert frame_of(["a", "old"]) == Frame(-2.0, 0.5)
    assert frame_of(["old"]) == UNIT_FRAME
    assert frame_of(["alike"]).width == LEAST_WIDTH


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["orpo", "--task", "ant"], "'orpo' is no learned objective"),
        (["discovered/halfcheetah-mixed75-from-orpo", "--task", "ant"], "it has no networks"),
        (["FOUND"], "give one of the two"),
        (["FOUND", "--task", "ant", "--own", "-1"], "give one of the two"),
        (["FOUND", "--own", "-1"], "give both, finite, and --wanted at least 0.05 below --own"),
        (["FOUND", "--own", "-1", "--wanted", "-0.5"], "give both, finite"),
        (["FOUND", "--own", "-1", "--wanted", "-1.01"], "at least 0.05 below"),
        (["FOUND", "--own", "-1", "--wanted=-inf"], "give both, finite"),
        (["FOUND", "--task", "hoper"], "did you mean 'hopper'"),
        (["FOUND", "--task", "ant", "--out", "FOUND"], "holds an objective, which would be lost"),
    ],
)
def test_mistakes_are_refused(folder, tmp_path, arguments, says):
    given = [str(folder) if one == "FOUND" else one for one in arguments]
    out = [] if "--out" in given else ["--out", tmp_path / "moved"]
    code, said = run(*given, *out)
    assert code == 2
    assert says in " ".join(said.split())
    assert not (tmp_path / "moved" / CARD_NAME).exists()


def test_maps_of_whole_trajectories_have_no_frame():
    objective = random_learned(learned_mirror(as_mirror("dpo"), temporal=True), jax.random.key(1), 0.4)
    with pytest.raises(ValueError, match="nothing in it lies in a frame"):
        with_frame(objective, HERE)
