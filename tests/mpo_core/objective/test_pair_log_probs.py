"""A batch of pairs is one number a row in every field: nothing is broadcast, half precision is computed in single."""

import dataclasses
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from helpers.objective_points import random_point
from mpo_core.losses.catalogue import make_objective, objective_ids
from mpo_core.objective.pair_log_probs import PairLogProbs

FIELDS = [field.name for field in dataclasses.fields(PairLogProbs)]


def point(rows=3):
    return random_point(rows=rows) | {"group": np.arange(rows)}


@pytest.mark.parametrize("name", FIELDS)
@pytest.mark.parametrize("rows", [1, 2])
def test_a_field_of_another_shape_is_refused_by_name(name, rows):
    given = point() | {name: point(rows)[name]}
    for make in (lambda: PairLogProbs(**given), lambda: jax.eval_shape(lambda fields: PairLogProbs(**fields), given)):
        with pytest.raises(ValueError, match=re.escape(f"{name} ({rows},)")) as refusal:
            make()
        assert str(refusal.value).startswith("PairLogProbs takes one number a row in every field, and has the shapes")
        others = [other for other in FIELDS if other != name]
        assert all(f"{other} (3,)" in str(refusal.value) for other in others)


def test_columns_are_refused_without_type_checks_too():
    columns = {name: np.asarray(value)[:, None] for name, value in random_point(rows=3).items()}
    for given in (columns, random_point(rows=3) | {"chosen_length": columns["chosen_length"]}):
        with pytest.raises((ValueError, TypeError)):
            PairLogProbs(**given)
    check = PairLogProbs.__check_init__
    bare = dataclasses.make_dataclass("Bare", FIELDS)
    with pytest.raises(ValueError, match=re.escape("chosen (3, 1), rejected (3, 1)")):
        check(bare(**columns, group=None))


def test_plain_numbers_are_rows_of_one():
    pair = PairLogProbs(-8, -12.0, np.float64(-9), -11, 8, 16, 0)
    assert {jnp.shape(getattr(pair, name)) for name in FIELDS if name != "group"} == {(1,)}


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("id", objective_ids())
def test_half_precision_is_computed_in_single(id, dtype):
    """Where a mean log-prob is 0, too, and a probability 1."""
    given = {name: jnp.asarray(value, dtype) for name, value in random_point(rows=3).items()}
    given |= {"chosen": jnp.array([-8, 0, -30], dtype), "rejected": jnp.array([0, -8, -20], dtype)}

    def loss(sides, others):
        losses = make_objective(id)(PairLogProbs(**sides, **others), 0.5)
        return losses.sum(), losses

    sides = {name: given.pop(name) for name in ("chosen", "rejected")}
    of_half = jax.value_and_grad(loss, has_aux=True)
    (_, losses), gradients = of_half(sides, given)
    (_, single), wanted = of_half(*jax.tree.map(lambda value: value.astype("float32"), (sides, given)))
    assert losses.dtype == "float32"
    np.testing.assert_allclose(losses, single, rtol=1e-6)
    for name, gradient in gradients.items():
        assert gradient.dtype == dtype
        small = np.abs(wanted[name]) < 6e4  # what float16 holds
        assert np.isfinite(np.asarray(gradient, "float32")[small]).all()
    assert small.any()
