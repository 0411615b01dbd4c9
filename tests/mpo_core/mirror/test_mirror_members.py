"""Known objectives as points of the mirror family: same value, same gradient."""

import jax
import numpy as np
import pytest

from helpers.objective_check_values import POINT_A, POINT_B
from helpers.objective_points import pair_at, random_point, value_and_slopes
from mpo_core.losses.catalogue import catalogue_entry, make_objective, objective_ids
from mpo_core.losses.members import as_mirror, member_ids, why_not_member

NOT_MONOTONE = {"inpo", "ipo", "ipo_mean", "cdpo", "exo_pair", "discopop", "padll"}


@pytest.fixture(autouse=True)
def _float64():
    with jax.enable_x64(True):
        yield


VARIANTS = [(id, {}) for id in member_ids()] + [
    ("cpo", {"nll": "mean", "lam": 0.3}),
    ("rrhf", {"nll": "mean"}),
    ("tempo", {"t0": 0.1, "t1": 0.6, "lam": 0.5}),
    ("simpo", {"beta": 3.0, "gamma": 0.2}),
]


@pytest.mark.parametrize(("id", "settings"), VARIANTS)
def test_mirror_form_equals_the_objective(id, settings):
    point = random_point(rows=32, seed=3)
    for progress in (0.0, 0.4):
        mirror = value_and_slopes(as_mirror(id, **settings), point, progress)
        direct = value_and_slopes(make_objective(id, **settings), point, progress)
        for got, expected in zip(mirror, direct, strict=True):
            np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("id", member_ids())
def test_flags_and_codes(id):
    mirror = as_mirror(id)
    entry = catalogue_entry(id)
    assert mirror.monotone == (id not in NOT_MONOTONE)
    assert mirror.reference == entry.needs_reference
    assert entry.member.startswith("MR" if entry.needs_reference else "M0")
    assert entry.member.endswith("-bar") == (mirror.bracket == "mean")


def test_each_objective_is_a_member_or_says_why_not():
    for id in objective_ids():
        assert (id in member_ids()) == (why_not_member(id) is None)
        if id not in member_ids():
            with pytest.raises(ValueError, match=f"'{id}' is not a member of the mirror family: \\w+"):
                as_mirror(id)


@pytest.mark.parametrize("id", member_ids())
def test_swapping_the_pair_negates_the_bracket(id):
    mirror = as_mirror(id)
    swap = {"chosen": "rejected", "ref_chosen": "ref_rejected", "chosen_length": "rejected_length"}
    swap |= {value: name for name, value in swap.items()}
    for point in (POINT_B, random_point()):
        swapped = {name: point[swap.get(name, name)] for name in point}
        bracket, negated = (mirror.preference(pair_at(where), 0.3) for where in (point, swapped))
        np.testing.assert_allclose(bracket, -negated, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("id", [id for id in member_ids() if type(as_mirror(id).g).__name__ == "Zero"])
def test_slopes_are_in_the_ratio_of_the_mirror_map(id):
    """Identity (ii): n dL/dlogp / (phi_inv'(p) p) is opposite for chosen and rejected."""
    mirror = as_mirror(id)
    for point in (POINT_A, POINT_B, random_point()):
        _, by_chosen, by_rejected = value_and_slopes(make_objective(id), point)
        is_mean = mirror.bracket == "mean"
        lengths = [np.atleast_1d(point[f"{side}_length"] if is_mean else 1.0) for side in ("chosen", "rejected")]
        slopes = jax.vmap(jax.grad(lambda x: mirror.phi_inv(x, 0.25)))
        sides = [
            np.asarray(slope) * n / np.asarray(slopes(np.atleast_1d(np.asarray(point[side], float)) / n))
            for slope, n, side in zip((by_chosen, by_rejected), lengths, ("chosen", "rejected"), strict=True)
        ]
        np.testing.assert_allclose(sides[0], -sides[1], rtol=1e-9, atol=1e-12)


def test_errors():
    with pytest.raises(ValueError, match="did you mean 'dpo'"):
        as_mirror("dppo")
    with pytest.raises(ValueError, match="unknown setting of objective 'dpo' 'gamma'"):
        as_mirror("dpo", gamma=1)
