"""Jobs trained side by side: the same policies as one at a time, and nothing of a unit copied for its jobs."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from helpers.learned import random_learned
from helpers.programs import intermediates
from helpers.toy_task import TOY_HORIZON
from mpo_core.data.specification import parse_data_spec
from mpo_core.devices import population_mesh
from mpo_core.evaluation.candidates import Candidate
from mpo_core.evaluation.comparison import Comparison, ComparisonSettings
from mpo_core.evaluation.jobs import Jobs, make_units, sft_phases, train_jobs
from mpo_core.evaluation.learning_curve import learning_curve
from mpo_core.evaluation.side_by_side import Block, arrange, arrange_calls
from mpo_core.losses.catalogue import make_objective
from mpo_core.losses.members import as_mirror
from mpo_core.losses.switch import stack_objectives
from mpo_core.mirror.learned import learned_mirror
from mpo_core.seeds import Stream
from mpo_core.settings import EvaluationSettings, InnerLoopSettings, RowSettings

INNER = InnerLoopSettings(epochs=3, learning_rate=1e-2)
UNITS = 3


def discovered():
    return random_learned(learned_mirror(as_mirror("orpo"), temporal=True), jax.random.key(5), 0.1)


CANDIDATES = {
    "stateless": Candidate(make_objective("orpo")),
    "stateless after SFT": Candidate(make_objective("dpo", beta=0.3), 2),
    "the same, tuned": Candidate(make_objective("dpo", beta=0.1), 2),
    "stateful": Candidate(make_objective("beta_dpo")),
    "sees groups": Candidate(make_objective("group_robust")),
    "discovered": Candidate(discovered()),
}


def settings(jobs_at_once):
    return ComparisonSettings(
        spec=parse_data_spec("mixed:0.5"), rows=RowSettings(8, TOY_HORIZON), inner=INNER,
        evaluation=EvaluationSettings(episodes=2, horizon=TOY_HORIZON), seed=0, stream=Stream.TUNING, units=UNITS,
        jobs_at_once=jobs_at_once,
    )  # fmt: skip


@pytest.fixture(scope="module")
def alone(toy_program, toy_agents):
    return Comparison(toy_program, toy_agents, settings(0)).run(list(CANDIDATES.values()))


@pytest.mark.parametrize("at_once", [4])
def test_a_comparison_and_its_sft_phases_score_as_one_at_a_time(alone, toy_program, toy_agents, at_once):
    done = {}
    comparison = Comparison(toy_program, toy_agents, settings(at_once))
    found = comparison.run(
        list(CANDIDATES.values()), lambda what, amount: done.update({what: done.get(what, 0) + amount})
    )
    for place, name in enumerate(CANDIDATES):
        np.testing.assert_allclose(found.sampled[place], alone.sampled[place], rtol=1e-3, atol=1e-3, err_msg=name)
        np.testing.assert_allclose(found.mode[place], alone.mode[place], rtol=1e-3, atol=1e-3, err_msg=name)
    np.testing.assert_allclose(found.clamped, alone.clamped, atol=1e-6)
    assert done == comparison.steps(len(CANDIDATES))


@pytest.mark.parametrize("name", ["stateless after SFT", "stateful", "discovered"])
def test_a_learning_curve_is_that_of_one_unit_at_a_time(toy_program, toy_agents, name):
    one, other = (
        learning_curve(toy_program, toy_agents, CANDIDATES[name], settings(at_once)) for at_once in (0, UNITS)
    )
    for field in dataclasses.fields(one):
        found, expected = getattr(other, field.name), getattr(one, field.name)
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3, err_msg=field.name)


def test_a_branch_that_blows_up_leaves_the_others_alone(toy_rows, toy_original):
    """Under `vmap` a switch computes all branches; the gradient of one that is not chosen must not leak."""
    zoo = [make_objective("orpo"), eqx.tree_at(lambda loss: loss.beta, make_objective("dpo"), jnp.float32(jnp.nan))]
    units = units_of(toy_original, toy_rows, 1)
    stacked = jax.tree.map(jnp.asarray, stack_objectives(zoo))
    policies, _ = trained(stacked, np.zeros(2, int), units, toy_original, 2, devices=1)
    assert np.isfinite(policies.raw_scale[0]).all()
    assert np.isnan(policies.raw_scale[1]).all()


def units_of(policy, rows, count, inner=INNER):
    stacked = jax.tree.map(lambda leaf: jnp.stack([jnp.roll(leaf, unit, 0) for unit in range(count)]), rows)
    return make_units(policy, stacked, jax.random.split(jax.random.key(2), count), inner)


def trained(objectives, unit, units, policy, at_once, devices=2, inner=INNER):
    plan, mesh = arrange(unit, devices, at_once), population_mesh(devices)
    nothing = jax.tree.map(lambda _: None, objectives)
    jobs = Jobs(jax.tree.map(lambda leaf: leaf[plan.job], objectives), jnp.asarray(unit[plan.job], jnp.int32))
    found = jax.jit(lambda jobs, units: train_jobs(jobs, nothing, units, policy, inner, mesh, plan.block))(jobs, units)
    return jax.tree.map(lambda leaf: leaf[plan.place], found)


@pytest.mark.parametrize("at_once", [3, 50])
def test_jobs_on_any_units_train_as_one_at_a_time(toy_rows, toy_original, at_once):
    unit = np.array([0, 1, 2, 0, 0, 1, 2, 2, 2, 0, 2])
    objectives = jax.tree.map(
        lambda *leaves: jnp.stack(leaves), *[make_objective("simpo", beta=1.0 + place) for place in range(len(unit))]
    )
    units = units_of(toy_original, toy_rows, 3)
    (one, trace), (other, other_trace) = (
        trained(objectives, unit, units, toy_original, count) for count in (1, at_once)
    )
    np.testing.assert_allclose(other.raw_scale, one.raw_scale, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(other_trace.loss, trace.loss, rtol=1e-3, atol=1e-4)
    assert len({float(scale[0]) for scale in one.raw_scale}) == len(unit)


@pytest.mark.parametrize("devices", [1, 2, 3])
@pytest.mark.parametrize("count", [1, 4, 9, 24, 25])
def test_jobs_of_a_call_are_spread_over_the_devices(devices, count):
    size = 4 * devices
    plan = arrange_calls(count, devices, size)
    np.testing.assert_array_equal(plan.job[plan.place], np.arange(count))
    assert len(plan.job) == -(-count // size) * size
    assert plan.asked.sum() == count
    assert plan.asked[plan.place].all()
    by_call = plan.asked.reshape(-1, devices, 4).sum(2)
    assert (by_call[:-1] == 4).all()
    assert by_call[-1].max() - by_call[-1].min() <= 1


@pytest.mark.parametrize("sft_epochs", [0, 1])
def test_slots_that_are_left_over_give_zeros_and_change_no_other(toy_rows, toy_original, sft_epochs):
    inner, mesh = dataclasses.replace(INNER, sft_epochs=sft_epochs), population_mesh(2)
    objectives = jax.tree.map(
        lambda *leaves: jnp.stack(leaves), *[make_objective("simpo", beta=1.0 + place) for place in range(4)]
    )
    nothing, unit = jax.tree.map(lambda _: None, objectives), jnp.zeros(4, jnp.int32)
    units = units_of(toy_original, toy_rows, 1, inner)

    @jax.jit
    def train(jobs, units):
        return train_jobs(jobs, nothing, units, toy_original, inner, mesh)

    asked = np.array([True, False, True, True])
    whole, some = train(Jobs(objectives, unit), units), train(Jobs(objectives, unit, jnp.asarray(asked)), units)
    for one, other in zip(jax.tree.leaves(whole), jax.tree.leaves(some), strict=True):
        np.testing.assert_array_equal(np.asarray(one)[asked], np.asarray(other)[asked])
        assert not np.asarray(other)[~asked].any()


@pytest.mark.parametrize("rates", [None, jnp.array([1e-3, 1e-2])])
def test_sft_phases_of_units_side_by_side(toy_rows, toy_original, rates):
    units, mesh = units_of(toy_original, toy_rows, 3), population_mesh(2)
    one, other = (sft_phases(units, toy_original, INNER, mesh, (1, 2), rates, at_once) for at_once in (1, 2))
    for found, expected in zip(jax.tree.leaves(other), jax.tree.leaves(one), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
    assert one[0].vector.shape[0] == 3 * (1 if rates is None else 2)


def test_sft_phases_at_several_rates_are_each_as_alone(toy_rows, toy_original):
    units, mesh, rates = units_of(toy_original, toy_rows, 2), population_mesh(1), (1e-3, 1e-2)
    together = sft_phases(units, toy_original, INNER, mesh, (1, 2), jnp.array(rates))
    for at, rate in enumerate(rates):
        for phases, epochs in zip(together, (1, 2), strict=True):
            inner = dataclasses.replace(INNER, learning_rate=rate)
            (alone,) = sft_phases(units, toy_original, inner, mesh, (epochs,))
            own = jax.tree.map(lambda leaf, at=at: leaf[2 * at : 2 * at + 2], phases)
            for found, expected in zip(jax.tree.leaves(own), jax.tree.leaves(alone), strict=True):
                np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("groups", "members"), [(1, 16), (4, 4), (1, 1)])
@pytest.mark.parametrize("sft_epochs", [0, 1])
def test_no_rows_are_copied_for_a_job(toy_rows, toy_original, groups, members, sft_epochs):
    """Sizes of all that the program ever holds: rows of all units, a minibatch a group, activations a job."""
    rows = jax.tree.map(lambda leaf: jnp.concatenate([leaf] * 8), toy_rows)  # 256: many more than a minibatch has
    inner, jobs = dataclasses.replace(INNER, epochs=1 + sft_epochs, sft_epochs=sft_epochs), groups * members
    units = units_of(toy_original, rows, 4, inner)
    held = units.prepared.observation.size
    objective = jax.tree.map(lambda leaf: jnp.stack([leaf] * jobs), make_objective("dpo"))
    nothing, mesh = jax.tree.map(lambda _: None, objective), population_mesh(1)
    unit = jnp.repeat(jnp.arange(groups), members).astype(jnp.int32)
    block = Block(groups, members)

    def program(objective, units):
        return train_jobs(Jobs(objective, unit), nothing, units, toy_original, inner, mesh, block)

    sizes = [value.size for value in intermediates(jax.make_jaxpr(program)(objective, units).jaxpr)]
    a_unit = rows.alive.size
    least = 8 * 2 * 2 * TOY_HORIZON * jobs  # the activations of a hidden layer
    assert max(sizes) >= least, "the walk did not reach the updates"
    assert max(sizes) <= max(held, least)
    if jobs > 1:
        assert jobs * a_unit > max(held, least)


@pytest.mark.parametrize("devices", [1, 2, 3])
@pytest.mark.parametrize("at_once", [1, 2, 5, 16, 1000])
@pytest.mark.parametrize("seed", range(4))
def test_every_job_has_a_slot_beside_jobs_of_its_unit(devices, at_once, seed):
    generator = np.random.default_rng(seed)
    unit = generator.integers(0, [1, 3, 5, 40][seed], generator.integers(1, 70))
    plan = arrange(unit, devices, at_once)
    np.testing.assert_array_equal(plan.job[plan.place], np.arange(len(unit)))
    assert set(plan.job) == set(range(len(unit)))
    assert len(plan.job) % (devices * plan.block.jobs) == 0
    assert plan.block.jobs <= at_once
    groups = unit[plan.job].reshape(-1, plan.block.members)
    assert (groups == groups[:, :1]).all()


def test_a_population_that_fits_is_one_block():
    assert arrange(np.zeros(258, int), 1, 1024).block == Block(1, 258)
    assert arrange(np.zeros(258, int), 2, 1024).block == Block(1, 129)
    assert arrange(np.zeros(258, int), 1, 100).block == Block(1, 86)
    assert arrange(np.tile(np.arange(20), 11), 1, 1024).block == Block(20, 11)
