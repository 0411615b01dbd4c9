"""The final table: failed units, notes on tuning, and what may be pooled."""

import numpy as np
import pytest
import typer
from scipy import stats

from cli.display import console, difference_lines, report_table
from cli.validation import interruptible
from mpo_core.settings import EvaluationSettings, RowSettings, UnusableSetting
from mpo_experiments.runs.report import CellReport, Row, RunReport, load_reports, pooled_differences
from mpo_experiments.settings.run_config import build_config
from mpo_experiments.testbed import FAILED_SCORE, Testbed
from mpo_experiments.tuning.tuned import load_tuned

NAMES = ("sft", "orpo", "start", "discovered")


def make_report(seed, tmp_path=None, **changes):
    scores = np.random.default_rng(seed).normal(size=(len(NAMES), 5)) * 0.1 + np.arange(len(NAMES))[:, None]
    rows = [
        Row(name=name, note="a [b] note", sampled=list(row), mode=list(row + 1), clamped=0.0)
        for name, row in zip(NAMES, scores, strict=True)
    ]
    fields = {
        "task": "ant",
        "data": "base",
        "preset": "quick",
        "init": "tempo",
        "units": 5,
        "original": 1.0,
        "target": 2.0,
    }
    report = CellReport(seed=seed, rows=rows, **(fields | changes))
    if tmp_path is not None:
        folder = tmp_path / f"{seed}-{len(list(tmp_path.iterdir()))}"
        RunReport(cells=[report]).save(folder)
        return folder
    return report


def test_scores_that_are_no_numbers_count_as_failed_not_as_missing():
    testbed = Testbed("halfcheetah")
    low, high = testbed.constants(1000)
    found = testbed.normalised(np.array([[low, np.nan, high, -np.inf]]), EvaluationSettings(horizon=1000))
    np.testing.assert_allclose(found, [[0.0, FAILED_SCORE, 1.0, FAILED_SCORE]])


def test_a_horizon_at_which_the_target_is_not_better_is_refused(monkeypatch):
    monkeypatch.setattr(Testbed, "_measured_constants", lambda self, horizon, mode: (30.0, 29.0))
    with pytest.raises(UnusableSetting, match="horizon 20 is too short for task 'hopper'"):
        Testbed("hopper").constants(20)


def test_what_could_not_be_scored_by_mode_actions_is_refused_beforehand(monkeypatch):
    """As with agents of which the target is the better one by sampled actions alone."""
    monkeypatch.setattr(Testbed, "_measured_constants", lambda self, horizon, mode: (30.0, 29.0 if mode else 31.0))
    why = "no scores by mode actions over horizon 20 for task 'hopper': its target agent returns 29, no more than"
    with pytest.raises(UnusableSetting, match=why):
        Testbed("hopper").check_scores(20)


def test_constants_of_a_shorter_horizon_are_those_of_the_card(monkeypatch):
    known = Testbed("halfcheetah")
    card = known.card.original.sampled.earlier[250], known.card.target.sampled.earlier[250]
    assert known.constants(250) == card
    monkeypatch.setattr(Testbed, "_measured_constants", lambda self, horizon, mode: (1.0, 2.0))
    assert known.constants(270) == (1.0, 2.0)


@pytest.mark.parametrize("horizon", [250, 1000])
def test_agents_whose_action_noise_wide_tokens_raise_are_measured_anew(monkeypatch, horizon):
    """At width 1 no deviation is below 0.4: the target of the card (0.29) acts more at random."""
    monkeypatch.setattr(Testbed, "_measured_constants", lambda self, horizon, mode: (1.0, 2.0))
    card, middling, wide = (Testbed("halfcheetah", bin_width=width) for width in (None, 0.5, 1.0))
    assert middling.constants(horizon) == card.constants(horizon) != (1.0, 2.0)
    assert wide.constants(horizon) == (1.0, 2.0)
    assert wide.constants(horizon, mode=True) == card.constants(horizon, mode=True)  # has no noise


def test_a_setting_that_only_the_run_could_refuse_is_refused_in_one_sentence(capsys):
    with pytest.raises(typer.Exit) as left, interruptible("advice"):
        raise UnusableSetting("horizon 20 is too short")
    assert left.value.exit_code == 2
    assert capsys.readouterr().err == "Error: horizon 20 is too short\n"


def test_the_table_fits_80_columns_and_keeps_brackets(capsys):
    console().print(report_table(make_report(1)))
    shown = capsys.readouterr().out
    assert "a [b] note" in shown
    assert max(len(line.rstrip()) for line in shown.splitlines()) <= 80
    assert all(len(line) <= 80 for line in difference_lines(make_report(1)))
    console().print(report_table(make_report(1, original_mode=1.25)))
    shown = capsys.readouterr().out
    assert "no action noise" in " ".join(shown.split())
    assert "0.250" in shown
    assert max(len(line.rstrip()) for line in shown.splitlines()) <= 80


def test_differences_have_both_kinds_of_actions_and_count_their_two_comparisons():
    report = make_report(1)
    lines = difference_lines(report)
    for name, line in (("start", lines[1]), ("orpo", lines[2])):
        assert line.startswith(name)
        for mode in (False, True):
            assert str(report.difference(name, mode=mode)) in line
    raw = [stats.ttest_rel(report.row("discovered").sampled, report.row(name).sampled).pvalue for name in NAMES[1:3]]
    np.testing.assert_allclose(sorted(report.p_values(NAMES[1:3])), [2 * min(raw), max(2 * min(raw), max(raw))])


def test_best_hand_written_leaves_start_and_discovered_out():
    assert make_report(1).best_hand_written().name == "orpo"


def test_pooling_joins_the_units_of_all_runs(tmp_path):
    folders = [make_report(seed, tmp_path) for seed in (1, 2)]
    pooled = pooled_differences([run.overall() for run in load_reports(folders)])
    assert set(pooled) == {"sft", "orpo", "start"}
    assert pooled["start"].units == 10
    expected = np.concatenate(
        [
            np.subtract(r.row("discovered").sampled, r.row("start").sampled)
            for run in load_reports(folders)
            for r in run.cells
        ]
    )
    np.testing.assert_allclose(pooled["start"].estimate, expected.mean())


@pytest.mark.parametrize(
    ("second", "says"),
    [({"seed": 1}, "same seed"), ({"seed": 2, "preset": "smoke"}, "preset"), ({"seed": 2, "target": 3.0}, "target")],
)
def test_what_does_not_belong_together_is_not_pooled(tmp_path, second, says):
    folders = [make_report(1, tmp_path), make_report(tmp_path=tmp_path, **second)]
    with pytest.raises(ValueError, match=says):
        load_reports(folders)


@pytest.mark.parametrize(("task", "budget"), [("halfcheetah", 64), ("hopper", 16), ("ant", 16)])
def test_bundled_tuning_fits_the_quick_preset_and_no_other_length(task, budget):
    config = build_config({"task": task})
    cell = load_tuned(task, config.data)
    assert cell.fits(config.data, config.rows, config.inner)
    assert not cell.fits(config.data, RowSettings(config.rows.count, config.rows.length + 1), config.inner)
    assert not cell.fits("base", config.rows, config.inner)
    tried = {name: found.tried for name, found in cell.objectives.items() if name != "sft"}
    assert set(tried.values()) == {budget}  # one for all losses of a task
