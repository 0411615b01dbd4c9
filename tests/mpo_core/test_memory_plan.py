"""What is planned to lie on a device, against what the compiler says of the program."""

import itertools

import jax
import jax.numpy as jnp
import pytest

from mpo_core import memory
from mpo_core.data.rows import PreferenceRows
from mpo_core.devices import population_mesh
from mpo_core.evaluation.jobs import Jobs, job_size, make_units, train_jobs
from mpo_core.evaluation.side_by_side import Block
from mpo_core.losses.catalogue import make_objective
from mpo_core.memory import UNIT_COPIES, jobs_at_once
from mpo_core.policies.gaussian import GaussianPolicy, Layer
from mpo_core.settings import InnerLoopSettings

GPU = 80 * 10**9
COUNT, LENGTH = 1280, 1000
"""Rows of the paper preset, and steps of each side."""
OBSERVATION, ACTION = 17, 6
"""Of the halfcheetah."""
INNER = InnerLoopSettings()


def policy(width=64):
    sizes = (OBSERVATION, width, width, ACTION)
    layers = tuple(Layer(jnp.ones((a, b)), jnp.ones(b)) for a, b in itertools.pairwise(sizes))
    return GaussianPolicy(jnp.zeros(OBSERVATION), jnp.ones(OBSERVATION), layers, jnp.zeros(ACTION))


def unit_shapes():
    """One unit of the paper preset, without its numbers."""

    def units():
        steps = (1, COUNT, 2, LENGTH)
        rows = jax.vmap(PreferenceRows)(
            jnp.zeros((*steps, OBSERVATION)), jnp.zeros((*steps, ACTION)), jnp.ones(steps), jnp.zeros(steps[:3]),
            jnp.zeros(steps[:2]), jnp.zeros(steps[:2], bool), jnp.zeros(steps[:3], jnp.int32),
        )  # fmt: skip
        return make_units(policy(), rows, jax.random.split(jax.random.key(0), 1))

    return jax.eval_shape(units)


def program_bytes(members, units):
    """Of the inner loops of so many members, beside the rows; nothing is run."""
    mesh, objective = population_mesh(1), jax.tree.map(lambda leaf: jnp.stack([leaf] * members), make_objective("orpo"))
    nothing = jax.tree.map(lambda _: None, objective)

    def train(objective, units):
        jobs = Jobs(objective, jnp.zeros(members, jnp.int32))
        return train_jobs(jobs, nothing, units, policy(), INNER, mesh, Block(1, members))[0]

    found = jax.jit(train).lower(objective, units).compile().memory_analysis()
    return found.temp_size_in_bytes + found.output_size_in_bytes


def test_1024_members_of_the_paper_preset_fit_80_gigabytes(monkeypatch):
    monkeypatch.setattr(memory, "_limit_bytes", lambda: GPU)
    units = unit_shapes()
    held = UNIT_COPIES * sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(units.rows))
    each = job_size(policy(), (COUNT, LENGTH), INNER).bytes
    assert jobs_at_once(0, each, held) == 1024
    taken = program_bytes(1024, units)
    assert 0.2 * 1024 * each < taken < 1024 * each  # the account is no less than what the compiler says, nor idle talk
    assert held + taken < memory.FILLED * GPU


@pytest.mark.parametrize("width", [64, 256])
def test_the_account_grows_with_the_policy_the_minibatch_and_the_rows(width):
    each = job_size(policy(width), (COUNT, LENGTH), INNER)
    assert each.steps == 4 * LENGTH
    assert each.updates == 12 * 640
    assert each.widths == (width, width, ACTION)
    assert each.bytes > 4 * memory.ACTIVATION_COPIES * each.steps * 2 * width
