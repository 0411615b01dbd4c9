"""Objectives side by side on the toy task: nobody's score depends on who else runs, or on how the work is packed."""

import dataclasses

import numpy as np
import pytest

from helpers.compilations import compilations
from helpers.toy_task import TOY_HORIZON
from mpo_core import memory
from mpo_core.data.specification import parse_data_spec
from mpo_core.evaluation.candidates import Candidate
from mpo_core.evaluation.comparison import Comparison, ComparisonSettings
from mpo_core.losses.catalogue import make_objective
from mpo_core.seeds import Stream
from mpo_core.settings import EvaluationSettings, InnerLoopSettings, RowSettings

EPOCHS = 3
ENTRANTS = [
    Candidate(make_objective("orpo")),
    Candidate(make_objective("dpo", beta=0.3), 2),
    Candidate(make_objective("dpo", beta=0.1), 2),
    Candidate(make_objective("sft_mean")),
    Candidate(make_objective("dpo", beta=0.3)),
]


def settings(**changes):
    given = {
        "spec": parse_data_spec("mixed:0.5"),
        "rows": RowSettings(8, TOY_HORIZON),
        "inner": InnerLoopSettings(epochs=EPOCHS, learning_rate=1e-2),
        "evaluation": EvaluationSettings(episodes=4, horizon=TOY_HORIZON),
        "seed": 0,
        "stream": Stream.REPORTING,
        "units": 3,
    }
    return ComparisonSettings(**(given | changes))


@pytest.fixture(scope="module")
def returns(toy_program, toy_agents):
    return Comparison(toy_program, toy_agents, settings()).run(ENTRANTS)


def test_an_entrant_scores_as_if_alone(toy_program, toy_agents, returns):
    race_of_few = Comparison(toy_program, toy_agents, settings())
    few = race_of_few.run([ENTRANTS[2], ENTRANTS[0]])
    np.testing.assert_allclose(few.sampled, returns.sampled[[2, 0]], rtol=1e-4)
    np.testing.assert_allclose(few.mode, returns.mode[[2, 0]], rtol=1e-4)


def test_units_that_do_not_fit_at_once_score_the_same(toy_program, toy_agents, returns, monkeypatch):
    runner = Comparison(toy_program, toy_agents, settings())
    unit_bytes = 2 * 8 * TOY_HORIZON * 4 * (3 + 2 + 1)
    for fit, at_once in ((0.5, 1), (2.0, 2), (100, 3)):
        monkeypatch.setattr(memory, "MAX_UNIT_BYTES", int(fit * unit_bytes))
        assert runner.units_at_once() == at_once
    monkeypatch.setattr(memory, "MAX_UNIT_BYTES", 2 * unit_bytes)
    split = runner.run(ENTRANTS[:2])
    np.testing.assert_allclose(split.sampled, returns.sampled[:2], rtol=1e-4)


def test_units_and_entrants_differ(returns):
    assert returns.sampled.shape == (len(ENTRANTS), 3)
    assert np.isfinite(returns.sampled).all()
    for candidate in returns.sampled:
        assert len(set(candidate)) == 3
    assert len({tuple(candidate) for candidate in returns.sampled}) == len(ENTRANTS)
    assert not np.allclose(returns.sampled, returns.mode)


def test_a_unit_is_the_same_wherever_a_race_begins(toy_program, toy_agents, returns):
    late = Comparison(toy_program, toy_agents, settings(first_unit=2, units=1, mode_actions=False)).run(ENTRANTS[:1])
    np.testing.assert_allclose(late.sampled[0, 0], returns.sampled[0, 2], rtol=1e-4)
    assert np.isnan(late.mode).all()


def test_epochs_of_sft_are_sft(toy_program, toy_agents, returns):
    """An objective preceded by SFT in every epoch is SFT; preceded by none it is not."""
    all_sft = Comparison(toy_program, toy_agents, settings()).run([Candidate(make_objective("dpo"), EPOCHS)])
    np.testing.assert_allclose(all_sft.sampled[0], returns.sampled[3], rtol=1e-4)
    assert not np.allclose(returns.sampled[1], returns.sampled[4], rtol=1e-3)


def test_an_entrant_with_a_learning_rate_scores_as_if_alone_at_it(toy_program, toy_agents, returns):
    rates = (None, 3e-3, 1e-2, 3e-3, 3e-2)
    entrants = [dataclasses.replace(one, learning_rate=rate) for one, rate in zip(ENTRANTS, rates, strict=True)]
    entrants += [Candidate(make_objective("ipo"), 1, 3e-3), Candidate(make_objective("ipo"), 1)]
    with compilations() as found:
        together = Comparison(toy_program, toy_agents, settings()).run(entrants)
    assert (found.count("jit(sft_phases)"), found.count("jit(_trained)")) == (1, 3)  # for 0, 1 and 2 epochs of SFT
    for place in (0, 2):  # at the rate of the settings, by default or by name
        np.testing.assert_allclose(together.sampled[place], returns.sampled[place], rtol=1e-4)
    for place in (1, 3, 4, 5, 6):
        own = settings(inner=entrants[place].inner(settings().inner))
        alone = Comparison(toy_program, toy_agents, own).run([dataclasses.replace(entrants[place], learning_rate=None)])
        np.testing.assert_allclose(together.sampled[place], alone.sampled[0], rtol=1e-4)
        np.testing.assert_allclose(together.clamped[place], alone.clamped[0], rtol=1e-4)


def test_progress_adds_up_to_what_was_announced(toy_program, toy_agents):
    runner, done = Comparison(toy_program, toy_agents, settings(units=2)), {}
    runner.run(ENTRANTS[:1], lambda what, amount: done.update({what: done.get(what, 0) + amount}))
    assert done == runner.steps(1)


def test_a_sweep_of_64_settings_is_one_compilation(toy_program, toy_agents):
    sweep = [Candidate(make_objective("simpo", beta=beta)) for beta in np.linspace(1, 10, 64)]
    own = settings(units=2, mode_actions=False, inner=InnerLoopSettings(epochs=EPOCHS, learning_rate=1.2e-2))
    with compilations() as found:
        Comparison(toy_program, toy_agents, own).run(sweep)
    assert found.count("jit(_trained)") == 1
    with compilations() as found:
        Comparison(toy_program, toy_agents, dataclasses.replace(own, seed=1, first_unit=3)).run(sweep[::-1])
    assert not found
