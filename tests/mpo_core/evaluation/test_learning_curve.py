"""Learning curves on the toy task: the last epoch is the trained policy, and the phases follow each other."""

import dataclasses

import numpy as np
import pytest

from helpers.toy_task import TOY_HORIZON
from mpo_core.data.specification import parse_data_spec
from mpo_core.evaluation.candidates import Candidate
from mpo_core.evaluation.comparison import Comparison, ComparisonSettings
from mpo_core.evaluation.learning_curve import learning_curve, steps
from mpo_core.losses.catalogue import make_objective
from mpo_core.seeds import Stream
from mpo_core.settings import EvaluationSettings, InnerLoopSettings, RowSettings

SETTINGS = ComparisonSettings(
    spec=parse_data_spec("base"),
    rows=RowSettings(8, TOY_HORIZON),
    inner=InnerLoopSettings(epochs=3, learning_rate=1e-2),
    evaluation=EvaluationSettings(episodes=4, horizon=TOY_HORIZON),
    seed=0,
    stream=Stream.SELECTION,
    units=3,
)
ENTRANT = Candidate(make_objective("dpo", beta=0.3), 2)


@pytest.fixture(scope="module")
def curve_and_work(toy_program, toy_agents):
    done: dict[str, int] = {}

    def advance(what, amount):
        done[what] = done.get(what, 0) + amount

    return learning_curve(toy_program, toy_agents, ENTRANT, SETTINGS, advance), done


def test_it_ends_where_a_race_ends(curve_and_work, toy_program, toy_agents):
    curve, _ = curve_and_work
    raced = Comparison(toy_program, toy_agents, SETTINGS).run([ENTRANT])
    np.testing.assert_allclose(curve.return_[:, -1], raced.sampled[0], rtol=1e-4)
    np.testing.assert_allclose(curve.final_mode, raced.mode[0], rtol=1e-4)
    np.testing.assert_allclose(curve.clamped.mean(1), raced.clamped[0], atol=1e-6)


def test_every_quantity_has_an_entry_a_unit_and_epoch(curve_and_work):
    curve, _ = curve_and_work
    shapes = {field.name: np.shape(getattr(curve, field.name)) for field in dataclasses.fields(curve)}
    assert shapes.pop("final_mode") == shapes.pop("first_bad") == (3,)
    assert set(shapes.values()) == {(3, 3)}
    np.testing.assert_allclose(curve.margin, curve.chosen_mean - curve.rejected_mean, rtol=1e-5)
    assert (curve.finite == 1).all()
    assert (curve.first_bad == -1).all()
    assert (curve.chosen_mean[:, 1] > curve.chosen_mean[:, 0]).all()  # SFT raises what was chosen


def test_progress_adds_up(curve_and_work):
    assert curve_and_work[1] == steps(SETTINGS)
