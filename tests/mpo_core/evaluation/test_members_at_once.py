"""Jobs side by side on a device, and evaluated chunk by chunk: the same scores to rounding, and how many fit."""

import jax
import numpy as np
import pytest

from helpers.toy_search import run
from mpo_core import memory
from mpo_core.evaluation import meta_objective
from mpo_core.memory import MOST_JOBS, jobs_at_once, units_at_once
from mpo_experiments.settings.run_config import build_config

H100 = 80 * 10**9


def leaves(scores):
    return [np.asarray(leaf) for leaf in jax.tree.leaves(scores)]


def assert_close(found, expected):
    for one, other in zip(leaves(found), leaves(expected), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


@pytest.fixture(scope="module")
def alone(make_program, toy_bank):
    return run(make_program(), toy_bank, 1)[0]


def test_jobs_trained_side_by_side_score_the_same(alone, make_program, toy_bank):
    # five jobs a device: two chunks of two, and one job left over
    assert_close(run(make_program(members_at_once=2), toy_bank, 1)[0], alone)


@pytest.mark.parametrize("envs", [2 * 4, 1])
def test_jobs_evaluated_in_chunks_score_the_same(alone, make_program, toy_bank, monkeypatch, envs):
    monkeypatch.setattr(meta_objective, "CPU_ENVS", envs)
    assert_close(run(make_program(), toy_bank, 1)[0], alone)


def test_jobs_judged_side_by_side_suit_the_cache_of_a_core_or_the_memory_of_an_accelerator(toy_original):
    policy = toy_original
    held = sum(leaf.nbytes for leaf in jax.tree.leaves(policy))
    for cpu, jobs in ((True, 64 // 4), (False, 2**30 // (4 * (2**15 + held)))):
        assert meta_objective._evaluated_at_once(policy, 4, cpu=cpu) == jobs
        assert meta_objective._evaluated_at_once(policy, 10**6, cpu=cpu) == 1


def test_cpus_train_one_after_another_unless_told_otherwise():
    assert jobs_at_once(0, 10**8, 0) == 1
    assert jobs_at_once(7, 10**8, 0) == 7


@pytest.mark.parametrize(("held", "fits"), [(0, 70), (69 * 10**8, 1), (35 * 10**8, 35), (10**11, 1)])
def test_an_accelerator_trains_as_many_as_fit(monkeypatch, held, fits):
    monkeypatch.setattr(memory, "_limit_bytes", lambda: 10**10)
    assert jobs_at_once(0, 10**8, held) == fits
    assert jobs_at_once(0, 10**3, 0) == MOST_JOBS


def test_an_accelerator_holds_as_many_units_as_fit_and_cpus_a_few(monkeypatch):
    size = 4 * 24 * 2 * 1280 * 1000  # a unit of the paper preset on halfcheetah
    assert units_at_once(size, 20) == 2
    monkeypatch.setattr(memory, "_limit_bytes", lambda: H100)
    assert units_at_once(size, 20) == 20
    assert 20 < units_at_once(size, 1000) < 1000
    assert units_at_once(10**12, 20) == 1


def test_the_setting_is_checked():
    assert build_config({"task": "hopper", "search": {"members_at_once": 3}}).search.members_at_once == 3
    with pytest.raises(ValueError, match="members_at_once must be at least 0"):
        build_config({"task": "hopper", "search": {"members_at_once": -1}})
