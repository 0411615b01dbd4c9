"""The kernel that keeps activations on the chip, interpreted on CPUs: log-probs and slopes of the usual products."""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from helpers.programs import intermediates
from mpo_core.losses.catalogue import make_objective
from mpo_core.policies.gaussian import GaussianPolicy, Layer, column_log_probs, raw_scale_of
from mpo_core.settings import InnerLoopSettings, Products, UnusableSetting
from mpo_core.training import fused_log_probs as module, prepared_rows
from mpo_core.training.fused_log_probs import PROGRAMS, TILE, fused_log_probs, is_fused
from mpo_core.training.inner_loop import train

STEPS = 300


def policy(sizes=(5, 24, 17, 3), activation="relu"):
    keys = jax.random.split(jax.random.key(0), 2 * len(sizes))
    layers = tuple(
        Layer(jax.random.normal(keys[2 * at], (a, b)) / np.sqrt(a), 0.3 * jax.random.normal(keys[2 * at + 1], (b,)))
        for at, (a, b) in enumerate(itertools.pairwise(sizes))
    )
    scale = raw_scale_of(jnp.linspace(0.3, 0.8, sizes[-1]))
    return GaussianPolicy(jnp.zeros(sizes[0]), jnp.ones(sizes[0]), layers, scale, activation=activation)


def columns(sizes=(5, 3), steps=STEPS):
    keys = jax.random.split(jax.random.key(1), 3)
    return (*(jax.random.normal(key, (size, steps)) for key, size in zip(keys, sizes, strict=False)),
            jax.random.normal(keys[2], (steps,)))  # fmt: skip


def slopes(log_probs, policy, weight):
    def weighed(trained):
        return weight @ log_probs(dataclasses.replace(policy, layers=trained[0], raw_scale=trained[1]))

    return jax.grad(weighed)((policy.layers, policy.raw_scale))


def assert_close(found, expected, **how):
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(one, other, **how)
        assert np.abs(other).max() > 0


@pytest.mark.parametrize(("steps", "activation"), [(STEPS, "relu"), (40, "tanh"), (PROGRAMS * TILE, "swish")])
def test_it_has_the_log_probs_and_slopes_of_the_usual_products(steps, activation):
    one, (observation, action, weight) = policy(activation=activation), columns(steps=steps)

    def fused(policy):
        return fused_log_probs(policy, observation, action, interpreted=True)

    def usual(policy):
        return column_log_probs(policy, observation, action)

    np.testing.assert_allclose(fused(one), usual(one), rtol=1e-5, atol=1e-4)
    assert_close(slopes(fused, one, weight), slopes(usual, one, weight), rtol=1e-3, atol=1e-3)


def test_bfloat16_is_near():
    one, (observation, action, weight) = policy(), columns()
    found = slopes(lambda p: fused_log_probs(p, observation, action, "bfloat16", interpreted=True), one, weight)
    expected = slopes(lambda p: column_log_probs(p, observation, action, "bfloat16"), one, weight)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert np.abs(a - b).max() < 0.03 * np.abs(b).max()


def test_members_share_the_columns():
    """Side by side, kernels have an axis of members and the steps have none."""
    one, (observation, action, weight) = policy(), columns()
    members = jax.tree.map(lambda leaf: jnp.stack([leaf * (1 + 0.1 * place) for place in range(7)]), one)

    def gradient(member):
        return slopes(lambda p: fused_log_probs(p, observation, action, interpreted=True), member, weight)

    together = jax.vmap(gradient)(members)
    for place in (0, 6):
        alone = gradient(jax.tree.map(lambda leaf, at=place: leaf[at], members))
        assert_close(jax.tree.map(lambda leaf, at=place: leaf[at], together), alone, rtol=1e-3, atol=1e-3)
    found = jax.make_jaxpr(jax.vmap(lambda p: fused_log_probs(p, observation, action, interpreted=True)))(members)
    made = [value.size for value in intermediates(found.jaxpr)]
    assert max(made) < 7 * observation.size


def test_an_inner_loop_with_it_trains_the_same_policy(toy_original, toy_rows, monkeypatch):
    monkeypatch.setattr(prepared_rows, "is_fused", lambda products: products.kernel == "pallas")
    monkeypatch.setattr(
        prepared_rows, "fused_log_probs", lambda *given: module.fused_log_probs(*given, interpreted=True)
    )
    found = [
        train(
            make_objective("dpo"), toy_original, jax.tree.map(lambda leaf: leaf[:6], toy_rows),
            InnerLoopSettings(epochs=1, learning_rate=1e-2, kernel=kernel), key=jax.random.key(0),
        )
        for kernel in ("xla", "pallas")
    ]  # fmt: skip
    for one, other in zip(jax.tree.leaves(found[1]), jax.tree.leaves(found[0]), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-4)
    assert not np.allclose(found[1][0].raw_scale, toy_original.raw_scale, atol=1e-3)


@pytest.mark.parametrize("precision", ["default", "highest", "bfloat16"])
def test_gpus_can_have_it_compiled(precision):
    """As far as a machine without one can tell: it is turned into Triton's language, forwards and backwards."""
    one, (observation, action, weight) = policy((17, 64, 64, 6)), columns((17, 6), 4000)

    def both(policy):
        def log_probs(policy):
            return fused_log_probs(policy, observation, action, precision)

        return log_probs(policy), slopes(log_probs, policy, weight)

    members = jax.tree.map(lambda leaf: jnp.stack([leaf] * 4), one)
    text = jax.jit(jax.vmap(both)).trace(members).lower(lowering_platforms=("cuda",)).as_text()
    assert text.count("triton") == 2


def test_it_is_for_gpus_and_narrow_layers():
    assert not is_fused(Products())
    assert not is_fused(Products(kernel="xla"))
    with pytest.raises(UnusableSetting, match=r"inner\.kernel=pallas: it is for GPUs, .* computes on cpu"):
        is_fused(Products(kernel="pallas"))
    observation, action, _ = columns()
    with pytest.raises(UnusableSetting, match="at most 128, not of 256"):
        fused_log_probs(policy((5, 256, 3)), observation, action, interpreted=True)
