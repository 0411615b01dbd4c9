"""Settings of hand-written objectives: each has a domain, checked wherever a number is given, and its range inside."""

import math
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from helpers.objective_points import pair_at, value_and_slopes
from mpo_core.losses.catalogue import catalogue, catalogue_entry, make_objective, parse_objective_text
from mpo_core.losses.families.log_ratio import Dpo, RobustDpo
from mpo_core.losses.families.separate import Kto
from mpo_core.objective.domain import LABEL_NOISE, POSITIVE, Domain

NUMBERS = (-1, 0, 0.5, 1, 1.2, 1e-30, 1e30)
SETTINGS = [(entry.id, name) for entry in catalogue() for name, one in entry.settings.items() if not one.words]
ORDINARY = {
    "chosen": [-8.0, -12.0, -8.0, -300.0], "rejected": [-12.0, -8.0, -8.0, -420.0],
    "ref_chosen": [-9.0, -11.0, -8.0, -310.0], "ref_rejected": [-11.0, -9.0, -8.0, -400.0],
    "chosen_length": [8.0, 16.0, 8.0, 200.0], "rejected_length": [16.0, 8.0, 8.0, 240.0],
    "margin": [1.5, -1.5, 0.0, 3.0],
}  # fmt: skip
"""A pair on each side of its reference, one that has not moved, and a long one."""


def rows(*kept):
    return {name: np.float32([values[row] for row in kept]) for name, values in ORDINARY.items()}


@pytest.mark.parametrize(("id", "name"), SETTINGS)
def test_a_value_is_refused_or_the_loss_and_its_gradient_are_finite(id, name):
    domain = catalogue_entry(id).settings[name].domain
    assert domain is not None
    ends = [end for end in (domain.low, domain.high) if end in domain]
    for value in (*NUMBERS, *ends):
        if value not in domain:
            said = f"^objective '{id}': {name} must be .*, not {re.escape(repr(value))}$"
            with pytest.raises(ValueError, match=said):
                make_objective(id, **{name: value})
            continue
        objective = make_objective(id, **{name: value})
        for point in (rows(0), rows(0, 1, 2, 3)):
            for array in value_and_slopes(objective, point):
                assert np.isfinite(array).all(), (value, array)


@pytest.mark.parametrize(("id", "name"), SETTINGS)
def test_a_setting_is_one_number(id, name):
    for value in (np.array([0.5, 0.6]), jnp.full((1,), 0.5), [0.5, 0.6], "x", True, math.nan, math.inf, 10**400, 1j):
        with pytest.raises(ValueError, match=f"objective '{id}': {name} is "):
            make_objective(id, **{name: value})


@pytest.mark.parametrize("entry", catalogue(), ids=lambda entry: entry.id)
def test_defaults_and_search_ranges_lie_inside_the_domain_and_the_default_inside_the_range(entry):
    for name, one in entry.settings.items():
        assert one.optional or one.default in (one.words or one.domain), name
        if one.tuning is None:
            continue
        assert one.tuning in entry.tuning
        assert one.tuning.low in one.domain, name
        assert one.tuning.high in one.domain, name
        low, default, high = one.tuning.low, one.default, one.tuning.high
        if one.tuning.log:
            low, default, high = map(math.log, (low, default, high))
        assert 0.1 < (default - low) / (high - low) < 0.9, f"{name}: the default is in the outer tenth of the range"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("robust_dpo:epsilon=0.5", "objective 'robust_dpo': epsilon must be at least 0 and below 0.5, not 0.5"),
        ("robust_dpo:epsilon=0.49999999", "at least 0 and below 0.5, not 0.49999999"),  # 0.5 in single precision
        ("dpo:beta=-1", "objective 'dpo': beta must be above 0 and at most 1000000, not -1.0"),
        ("dpo:beta=1e-60", "beta must be above 0 and at most 1000000, not 1e-60"),  # 0 in single precision
        ("ipo:tau=0", "tau must be at least 1e-06 and at most 1000000, not 0.0"),
        ("exo_pair:epsilon=0", "epsilon must be above 0 and below 0.5, not 0.0"),
        ("modpo:w0=1.2", "w0 must be at least 1e-06 and at most 1, not 1.2"),
        ("madpo:cmin=1", "cmin must be at least 0 and below 1, not 1.0"),
        ("kto:kl=-1", "kl must be at least 0 and at most 1000000, not -1.0"),
    ],
)
def test_a_text_outside_the_domain_is_refused_in_one_sentence(text, says):
    with pytest.raises(ValueError, match=r"^objective '") as refusal:
        parse_objective_text(text)
    assert str(refusal.value).endswith(says)


def test_a_class_of_its_own_checks_what_it_is_given():
    with pytest.raises(ValueError, match=r"objective 'dpo': beta must be above 0 and at most 1000000, not -1$"):
        Dpo(beta=-1.0)
    with pytest.raises(ValueError, match=r"objective 'robust_dpo': epsilon must be at least 0 and below 0.5, not 0.5$"):
        RobustDpo(0.1, np.float64(0.5))
    assert Kto(kl=None).kl is None


def test_traced_values_pass():
    pair = pair_at(rows(0))

    def loss(beta):
        return make_objective("dpo", beta=beta)(pair, 0.0)[0]

    losses = jax.vmap(loss)(jnp.array([0.1, -0.1]))
    np.testing.assert_allclose(losses, np.log1p(np.exp([-0.2, 0.2])), rtol=1e-6)
    assert jax.grad(loss)(0.1) < 0
    with pytest.raises(ValueError, match=r"beta is one number, not an array of shape \(2,\)"):
        jax.jit(loss)(jnp.array([0.1, 0.2]))


def test_single_precision_at_the_ends():
    assert 0.1 in Domain(0.1, 1.0)
    assert float(np.float32(0.1)) in Domain(0.1, 1.0)
    assert float(np.float32(1e-6)) in Domain(1e-6, 1.0)
    assert 0.0 not in POSITIVE
    assert 1e300 not in POSITIVE
    assert math.nan not in POSITIVE
    assert (str(LABEL_NOISE), LABEL_NOISE.interval) == ("at least 0 and below 0.5", "[0, 0.5)")
    assert (str(POSITIVE), POSITIVE.interval) == ("above 0 and at most 1000000", "(0, 1000000]")
