"""Learned maps: increasing for every parameter vector, equal to their start at the start, alive there."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from helpers.learned import random_learned
from mpo_core.losses.catalogue import make_objective
from mpo_core.losses.members import as_mirror, member_ids
from mpo_core.mirror.learned import learned_mirror, split_learned, split_start, with_scale
from mpo_core.mirror.monotone_network import Frame
from mpo_core.objective.pair_log_probs import PairLogProbs

VECTORS = 1000
LOG_PROB_GRID = np.unique(np.concatenate([-np.geomspace(1e-7, 60, 300), -np.geomspace(60, 20_000, 60)])).astype(
    np.float32
)
BRACKET_GRID = np.unique(
    np.concatenate([np.linspace(-40, 40, 300), np.geomspace(40, 20_000, 30), -np.geomspace(40, 20_000, 30)])
)
MONOTONE = [id for id in member_ids() if as_mirror(id).monotone]


def random_pair(key, rows=64):
    names = ("chosen", "rejected", "ref_chosen", "ref_rejected")
    sums = {
        name: -jnp.exp(jax.random.normal(k, (rows,)) + 3)
        for name, k in zip(names, jax.random.split(key, 4), strict=True)
    }
    length = jnp.full(rows, 12.0)
    return PairLogProbs(**sums, chosen_length=length, rejected_length=length + 3, margin=jnp.ones(rows))


@pytest.mark.parametrize("temporal", [False, True])
@pytest.mark.parametrize("init", ["tempo", "orpo"])
def test_never_decreases_for_random_parameters(init, temporal):
    start = learned_mirror(as_mirror(init), temporal=temporal)
    grids = {"phi_inv": LOG_PROB_GRID, "psi": BRACKET_GRID.astype(np.float32), "g": LOG_PROB_GRID}

    @jax.jit
    def worst(key):
        scale = jnp.exp(jax.random.uniform(jax.random.fold_in(key, 1), (), minval=-2.0, maxval=1.5))
        objective = random_learned(start, key, scale)
        falls, finite = [], []
        for name, grid in grids.items():
            function = getattr(objective, name)
            for time in (0.0, 0.37, 1.0):
                x = jnp.asarray(grid)
                value = function(x, time)
                rounding = 4e-6 * jnp.maximum(jnp.abs(value[1:]), jnp.abs(value[:-1])) + 1e-6
                falls.append(jnp.max(value[:-1] - value[1:] - rounding))
                slope = jax.grad(lambda x, function=function, time=time: function(x, time).sum())(x)
                finite.append(jnp.isfinite(slope).all() & jnp.isfinite(value).all() & (slope >= -1e-5).all())
        return jnp.max(jnp.stack(falls)), jnp.stack(finite).all()

    falls, finite = jax.lax.map(worst, jax.random.split(jax.random.key(0), VECTORS), batch_size=50)
    assert float(falls.max()) <= 0
    assert bool(finite.all())


@pytest.mark.parametrize("temporal", [False, True])
@pytest.mark.parametrize("init", MONOTONE)
def test_equals_its_start(init, temporal):
    pair = random_pair(jax.random.key(3))
    learned, closed = learned_mirror(as_mirror(init), temporal=temporal), make_objective(init)
    for progress in (0.0, 0.4, 0.99):
        np.testing.assert_allclose(learned(pair, progress), closed(pair, progress), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("init", [one for one in MONOTONE if as_mirror(one).bracket == "mean"])
def test_is_finite_and_alive_where_the_phi_inv_of_its_start_is_flat(init):
    """A frame far below a floor, as that of `floor_po`: its psi still sees what is learned of phi_inv."""
    start, pair = learned_mirror(as_mirror(init), temporal=True, frame=Frame(-9.0, 0.4)), random_pair(jax.random.key(3))
    assert float(start.psi.network.width) > 0
    np.testing.assert_allclose(start(pair, 0.5), make_objective(init)(pair, 0.5), rtol=1e-5, atol=1e-5)
    assert jnp.isfinite(random_learned(start, jax.random.key(1), 0.5)(pair, 0.5)).all()


@pytest.mark.parametrize("temporal", [False, True])
def test_antithetic_members_differ(temporal):
    """At the start no pair of twins may score alike for the reason that the parametrisation is even."""
    start = learned_mirror(as_mirror("tempo"), temporal=temporal)
    learned, common = split_learned(start)
    noise = split_learned(random_learned(start, jax.random.key(1), 0.1))[0]
    pair = random_pair(jax.random.key(4))
    plus, minus = (
        eqx.combine(jax.tree.map(lambda leaf, n, sign=sign: leaf + sign * n, learned, noise), common)(pair, 0.5)
        for sign in (1, -1)
    )
    assert float(jnp.abs(plus - minus).max()) > 1e-3
    assert float(jnp.abs(plus - start(pair, 0.5)).max()) > 1e-3
    assert float(jnp.abs(minus - start(pair, 0.5)).max()) > 1e-3


def test_only_the_temporal_one_learns_from_progress():
    for temporal in (False, True):
        objective = random_learned(learned_mirror(as_mirror("orpo"), temporal=temporal), jax.random.key(2), 0.5)
        pair = random_pair(jax.random.key(5))
        assert np.allclose(objective(pair, 0.1), objective(pair, 0.9)) is not temporal


def test_a_search_starts_from_monotone_members_only():
    with pytest.raises(ValueError, match="increasing"):
        learned_mirror(as_mirror("ipo"), temporal=True)


@pytest.mark.parametrize("init", ["tempo", "orpo"])
@pytest.mark.parametrize("size", [0.0, 0.5])
def test_a_scaled_objective_is_the_same_loss_but_for_a_factor(init, size):
    start, pair = learned_mirror(as_mirror(init), temporal=True), random_pair(jax.random.key(6))
    noise = random_learned(start, jax.random.key(7), size)
    for progress in (0.0, 0.7):
        np.testing.assert_allclose(
            with_scale(noise, 0.02)(pair, progress), 0.02 * noise(pair, progress), rtol=1e-4, atol=1e-6
        )


def test_units_lie_in_their_frame():
    """The same parameters in another frame are the same functions of (x - centre) / width, times the width."""
    frame, parameters = Frame(-3.0, 0.5), jax.random.key(8)
    unit = random_learned(learned_mirror(as_mirror("tempo", beta=2.0), temporal=False), parameters, 0.5)
    framed = random_learned(learned_mirror(as_mirror("tempo", beta=2.0), temporal=False, frame=frame), parameters, 0.5)
    z = jnp.linspace(-2.0, 0.5, 9)
    for name, centre, width in (("phi_inv", -3.0, 0.5), ("g", -3.0, 0.5), ("psi", 0.0, 1.0)):  # 2 log p: 1.0 wide
        ours, theirs = (getattr(one, name).network for one in (framed, unit))
        np.testing.assert_allclose(ours(centre + width * z, 0.0), width * theirs(z, 0.0), rtol=2e-4, atol=1e-6)


@pytest.mark.parametrize("init", ["dpo", "cpo"])
def test_maps_of_whole_trajectories_have_no_frame(init):
    framed = learned_mirror(as_mirror(init), temporal=True, frame=Frame(-3.0, 0.5))
    assert (float(framed.phi_inv.network.centre), float(framed.psi.network.width)) == (0.0, 1.0)


def test_what_is_saved_is_all_but_the_closed_forms():
    objective = learned_mirror(as_mirror("orpo"), temporal=True, frame=Frame(-3.0, 0.5))
    own, closed = split_start(objective)
    assert len(jax.tree.leaves(own)) == 3 * 7
    assert len(jax.tree.leaves(closed)) == len(jax.tree.leaves(as_mirror("orpo")))
    assert eqx.tree_equal(eqx.combine(own, closed), objective)
