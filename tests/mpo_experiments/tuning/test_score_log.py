"""What a cell keeps of its scores while it is under way."""

import numpy as np
import pytest

from mpo_experiments.benchmark.reporting import unit_parts
from mpo_experiments.tuning.score_log import LoggedScores, ScoreLog, policy_names
from mpo_experiments.tuning.setting_search import Setting

ORPO, DPO = ("orpo", Setting({"lam": 0.5}, 0)), ("dpo", Setting({}, 10, 1e-3))


def test_a_log_has_what_was_put_and_leaves_out_a_line_that_was_cut_short(tmp_path):
    path = tmp_path / "cells" / "a.scores.jsonl"
    ScoreLog(path, "this").put({"a": {"sampled": 0.1}, "b": {"sampled": 1 / 3}})
    with path.open("a") as file:
        file.write('{"policy": "c", "sco')
    log = ScoreLog(path, "this")
    assert (log.get("a"), log.get("b"), log.get("c")) == ({"sampled": 0.1}, {"sampled": 1 / 3}, None)
    log.put({"d": {"sampled": 2.0}})
    again = ScoreLog(path, "this")
    assert [again.get(name) is not None for name in "abcd"] == [True, True, False, True]
    again.remove()
    assert not path.exists()


def test_a_log_knows_what_earlier_tries_took(tmp_path, monkeypatch):
    clock = [100.0]
    monkeypatch.setattr("mpo_experiments.tuning.score_log.time.monotonic", lambda: clock[0])
    log = ScoreLog(tmp_path / "a.jsonl", "this")
    for stream, took in (("tuning", 30.0), ("reporting", 12.0), ("reporting", 8.0)):
        clock[0] += took
        log.put({f"{stream} {clock[0]} {id}": {"sampled": 0.1} for id in "ab"})
    assert log.seconds_before == {}
    with log._path.open("a") as file:
        file.write('[1, 2]\n"text"\n3\n{"policy": 1}\n')  # JSON, but no scores
    assert ScoreLog(tmp_path / "a.jsonl", "this").seconds_before == {"tuning": 30.0, "reporting": 20.0}


def test_a_log_of_something_else_is_not_read_and_is_begun_anew(tmp_path):
    path = tmp_path / "a.scores.jsonl"
    ScoreLog(path, "this").put({"a": {"sampled": 0.1}})
    other = ScoreLog(path, "other agents")
    assert other.get("a") is None
    other.put({"b": {"sampled": 0.2}})
    assert ScoreLog(path, "this").get("a") is None
    assert ScoreLog(path, "other agents").get("b") == {"sampled": 0.2}


def test_settings_are_scored_where_the_log_has_no_score(tmp_path):
    asked, log = [], ScoreLog(tmp_path / "a.scores.jsonl", "this")

    def score(tried, units, keep):
        asked.append([id for id, _ in tried])
        found = np.array([[100 * len(id) + unit for unit in units] for id, _ in tried], float)
        keep(range(len(tried)), found)
        return found

    first = LoggedScores(score, log)([ORPO], range(2))
    both = LoggedScores(score, log)([ORPO, DPO], range(2))
    np.testing.assert_array_equal(first, [[400, 401]])
    np.testing.assert_array_equal(both, [[400, 401], [300, 301]])
    np.testing.assert_array_equal(LoggedScores(score, log)([DPO, ORPO], range(1, 2)), [[301], [401]])
    assert asked == [["orpo"], ["dpo"]]


def test_what_was_scored_before_an_interruption_is_kept(tmp_path):
    asked, log = [], ScoreLog(tmp_path / "a.scores.jsonl", "this")

    def one_by_one(tried, units, keep, most=1):
        for place, (id, _) in enumerate(tried):
            if place == most:
                raise KeyboardInterrupt
            asked.append(id)
            keep(range(place, place + 1), np.full((1, len(units)), len(asked), float))
        return np.zeros((len(tried), len(units)))

    with pytest.raises(KeyboardInterrupt):
        LoggedScores(one_by_one, log)([ORPO, DPO], range(2))
    again = ScoreLog(tmp_path / "a.scores.jsonl", "this")
    LoggedScores(one_by_one, again)([ORPO, DPO], range(2))
    assert asked == ["orpo", "dpo"]
    np.testing.assert_array_equal(LoggedScores(one_by_one, again)([ORPO, DPO], range(2)), [[1, 1], [2, 2]])


def test_a_policy_is_named_by_all_that_it_follows_from():
    names = {
        name
        for stream in ("tuning", "reporting")
        for id in ("orpo", "dpo")
        for setting in (Setting({}, 0), Setting({"lam": 1.0}, 0), Setting({}, 10), Setting({}, 0, 1e-3))
        for name in policy_names(stream, id, setting, range(2))
    }
    assert len(names) == 2 * 2 * 2 * 4


@pytest.mark.parametrize(("held", "parts"), [(20, [20]), (8, [8, 8, 4]), (1, [3, 3, 3, 3, 3, 3, 2])])
def test_units_are_run_as_memory_and_a_block_of_rollouts_allow(held, parts):
    found = unit_parts(20, held, filling=3)
    assert [len(part) for part in found] == parts
    assert [unit for part in found for unit in part] == list(range(20))
