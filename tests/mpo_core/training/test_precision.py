"""How the inner loop's products are computed: a setting of their own, that old files do not have."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from helpers.programs import equations
from mpo_core.losses.catalogue import make_objective
from mpo_core.policies.gaussian import column_log_probs
from mpo_core.settings import PRECISIONS, InnerLoopSettings
from mpo_core.training.inner_loop import train

SETTINGS = InnerLoopSettings(epochs=1, learning_rate=1e-2)


def traced(precision, toy_original, toy_rows):
    settings = dataclasses.replace(SETTINGS, precision=precision)

    def trained(rows):
        return train(make_objective("dpo"), toy_original, rows, settings, key=jax.random.key(0))[0]

    return jax.make_jaxpr(trained)(toy_rows)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_it_holds_for_products_alone(precision, toy_original, toy_rows):
    found = list(equations(traced(precision, toy_original, toy_rows).jaxpr))
    products = [one for one in found if one.primitive.name == "dot_general"]
    assert len(products) > 6
    highest = [one for one in products if "HIGHEST" in str(one.params["precision"])]
    halved = [one for one in products if one.invars[0].aval.dtype == jnp.bfloat16]
    assert all(one.outvars[0].aval.dtype == jnp.float32 for one in products)
    assert len(highest) == (len(products) if precision == "highest" else 0)
    assert bool(halved) == (precision == "bfloat16")
    sums = [one for one in found if one.primitive.name in ("reduce_sum", "integer_pow", "square", "log")]
    assert sums
    assert all(value.aval.dtype != jnp.bfloat16 for one in sums for value in one.invars)


def test_bfloat16_is_near_and_is_not_the_same(toy_original):
    keys = jax.random.split(jax.random.key(1), 2)
    observation, action = jax.random.normal(keys[0], (3, 50)), jax.random.normal(keys[1], (2, 50))
    full, half = (column_log_probs(toy_original, observation, action, one) for one in ("highest", "bfloat16"))
    np.testing.assert_allclose(half, full, rtol=0.02, atol=0.02)
    assert not np.array_equal(half, full)


def test_results_of_before_there_was_a_choice_fit_the_default():
    old = {"epochs": 12, "sft_epochs": 0, "minibatch": 2, "learning_rate": 1e-3, "max_grad_norm": 1.3}
    assert InnerLoopSettings(**old) == InnerLoopSettings()
    assert InnerLoopSettings().recorded() == old
    assert InnerLoopSettings(precision="highest").recorded() == old | {"precision": "highest"}


@pytest.mark.parametrize(
    ("given", "says"), [({"precision": "higest"}, "did you mean 'highest'"), ({"kernel": "palas"}, "'pallas'")]
)
def test_others_are_refused(given, says):
    with pytest.raises(ValueError, match=says):
        InnerLoopSettings(**given)
