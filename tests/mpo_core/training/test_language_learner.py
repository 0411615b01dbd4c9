"""Training language policies: the same inner loop, rows of texts."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mpo_core.data.generate_pairs import generate_pairs, stack_agents
from mpo_core.data.pair_bank import label_pairs
from mpo_core.data.specification import parse_data_spec
from mpo_core.devices import population_mesh
from mpo_core.evaluation.jobs import Jobs, make_units, train_jobs
from mpo_core.evaluation.side_by_side import arrange
from mpo_core.losses.catalogue import make_objective
from mpo_core.losses.switch import stack_objectives
from mpo_core.policies.language import LanguagePolicy
from mpo_core.policies.transformer import TransformerSizes, new_transformer
from mpo_core.rollout.program import RolloutProgram
from mpo_core.settings import InnerLoopSettings, Products, RowSettings, UnusableSetting
from mpo_core.training.inner_loop import train
from mpo_core.training.learners import learner_of, prepared_units, row_log_probs
from mpo_experiments.reviews.task import PROMPT_LENGTH, ReviewsTask
from mpo_experiments.reviews.token_reward import WORDS

SIZES = TransformerSizes(len(WORDS), width=16, layers=1, heads=2, feed_forward=16)
LENGTH = 12
INNER = InnerLoopSettings(epochs=2, minibatch=2, learning_rate=1e-2)


def model(number):
    transformer = new_transformer(SIZES, key=jax.random.key(number))
    louder = jax.tree.map(lambda leaf: leaf * 5.0, transformer)
    return LanguagePolicy(louder, PROMPT_LENGTH, LENGTH)


@pytest.fixture(scope="module")
def policy():
    return model(0)


@pytest.fixture(scope="module")
def rows(policy):
    agents = stack_agents(policy, model(1))
    program = RolloutProgram(ReviewsTask("reviews"), envs=8, chunk=LENGTH)
    spec = parse_data_spec("mixed:0.5")
    bank = generate_pairs(program, agents, spec, RowSettings(8, LENGTH), key=jax.random.key(3))
    return label_pairs(jax.tree.map(jnp.asarray, bank), spec, key=jax.random.key(4))


def test_log_probs_are_those_of_the_answers(policy, rows):
    found = row_log_probs(policy, rows)
    for row, side in ((0, 0), (3, 1), (7, 0)):
        prompt = np.asarray(rows.observation[row, side, 0, :PROMPT_LENGTH], int)
        answer = np.asarray(rows.action[row, side, :, 0], int)[: int(rows.alive[row, side].sum())]
        each = policy.model.token_log_probs(jnp.asarray([*prompt, *answer]))
        np.testing.assert_allclose(found[row, side], each[-len(answer) :].sum(), rtol=1e-5)


def test_both_sides_answer_one_prompt(rows):
    prompts = np.asarray(rows.observation[:, :, 0, :PROMPT_LENGTH])
    np.testing.assert_array_equal(prompts[:, 0], prompts[:, 1])
    assert len(np.unique(prompts[:, 0], axis=0)) > 1


def test_an_objective_pulls_the_sides_apart(policy, rows):
    trained, trace = jax.jit(lambda policy, rows: train(
        make_objective("simpo"), policy, rows, INNER, key=jax.random.key(0)
    ))(policy, rows)  # fmt: skip
    before, after = (row_log_probs(one, rows) / rows.tokens for one in (policy, trained))
    assert ((after - before)[:, 0] > (after - before)[:, 1]).mean() > 0.8
    assert trace.finite.all()


def test_nothing_of_a_unit_is_copied_for_a_minibatch(policy, rows):
    """A gathered minibatch and its activations: no intermediate as large as the rows of all units."""
    many = jax.tree.map(lambda leaf: jnp.stack([leaf] * 64), rows)
    prepared = prepared_units(policy, many)

    def sums(vector, unit):
        return learner_of(policy, prepared, unit, Products()).log_probs(vector, jnp.arange(2)).sum()

    start = learner_of(policy, prepared, 0, Products()).start
    jaxpr = jax.make_jaxpr(jax.grad(sums))(start, jnp.int32(3))
    sizes = [leaf.aval.size for eqn in jaxpr.jaxpr.eqns for leaf in eqn.outvars]
    assert max(sizes) < prepared.tokens.size


def test_units_share_the_reference(policy, rows):
    stacked = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf[::-1]]), rows)
    units = make_units(policy, stacked, jax.random.split(jax.random.key(0), 2), INNER)
    np.testing.assert_allclose(units.reference[0], row_log_probs(policy, rows), rtol=1e-5)
    np.testing.assert_allclose(units.reference[1], units.reference[0][::-1], rtol=1e-5)


@pytest.mark.parametrize("products", [Products("bfloat16"), Products(kernel="pallas")])
def test_products_that_are_not_there_are_refused(policy, rows, products):
    prepared = prepared_units(policy, jax.tree.map(lambda leaf: leaf[None], rows))
    with pytest.raises(UnusableSetting, match="language models train with"):
        learner_of(policy, prepared, 0, products)
    highest = dataclasses.replace(Products(), precision="highest")
    learner = learner_of(policy, prepared, 0, highest)
    np.testing.assert_allclose(learner.all_log_probs(learner.start), row_log_probs(policy, rows), rtol=1e-5)


@pytest.fixture(scope="module")
def one_by_one(policy, rows):
    """Two units, three objectives on each, trained by one device one after another."""
    stacked = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf[::-1]]), rows)
    units = make_units(policy, stacked, jax.random.split(jax.random.key(0), 2), INNER)
    objectives = stack_objectives([make_objective("orpo", lam=lam) for lam in (0.1, 0.5, 1.0)])
    candidate, unit = (place.reshape(-1) for place in np.indices((3, 2)))
    return units, objectives, candidate, unit


def trained(policy, one_by_one, devices, at_once):
    units, objectives, candidate, unit = one_by_one
    plan = arrange(unit, devices, at_once)
    jobs = Jobs(
        jax.tree.map(lambda leaf: leaf[candidate[plan.job]], objectives), jnp.asarray(unit[plan.job], jnp.int32)
    )
    nothing = jax.tree.map(lambda _: None, jobs.objective)
    mesh = population_mesh(devices)
    policies, _ = jax.jit(
        lambda jobs, units: train_jobs(jobs, nothing, units, policy, INNER, mesh, plan.block)
    )(jobs, units)  # fmt: skip
    return jax.tree.map(lambda leaf: np.asarray(leaf)[plan.place], policies)


def test_one_device_trains_as_two(policy, one_by_one):
    """But for rounding: XLA rewrites the program of one device differently. Two and four give the same bytes."""
    one, two, again = (trained(policy, one_by_one, devices, 1) for devices in (1, 2, 2))
    jax.tree.map(np.testing.assert_array_equal, two, again)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=2e-4), one, two)


def test_side_by_side_is_as_one_after_another(policy, one_by_one):
    one, beside = (trained(policy, one_by_one, 1, at_once) for at_once in (1, 6))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=2e-4), one, beside)
