"""The inner loop against a slow loop written from the definitions, and what it promises."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from mpo_core.losses.catalogue import make_objective
from mpo_core.losses.members import as_mirror
from mpo_core.losses.switch import stack_objectives
from mpo_core.mirror.learned import learned_mirror
from mpo_core.objective.pair_log_probs import PairLogProbs
from mpo_core.policies.gaussian import column_log_probs
from mpo_core.settings import InnerLoopSettings
from mpo_core.training.inner_loop import run_sft, train, train_by_epoch
from mpo_core.training.learners import row_log_probs

SETTINGS = InnerLoopSettings(epochs=3, minibatch=2, learning_rate=1e-2)


def head(rows, count):
    return jax.tree.map(lambda leaf: leaf[:count], rows)


def slow_log_prob(policy, observation, action, alive):
    """Token by token, from the Gaussian density times the bin width."""
    total = 0.0
    for t in range(len(alive)):
        x = (observation[t] - policy.observation_mean) / policy.observation_std
        for layer in policy.layers[:-1]:
            x = np.maximum(x @ layer.kernel + layer.bias, 0)
        mode = x @ policy.layers[-1].kernel + policy.layers[-1].bias
        sigma = np.asarray(policy.scale)
        density = np.exp(-0.5 * ((action[t] - mode) / sigma) ** 2) / (sigma * np.sqrt(2 * np.pi))
        total += alive[t] * np.log(density * policy.bin_width).sum()
    return total


def test_log_probs_are_sums_over_alive_tokens(toy_original, toy_rows):
    rows = eqx.tree_at(lambda r: r.alive, head(toy_rows, 3), head(toy_rows, 3).alive.at[0, 0, 7:].set(0.0))
    found = row_log_probs(toy_original, rows)
    for row in range(3):
        for side in range(2):
            expected = slow_log_prob(
                toy_original, rows.observation[row, side], rows.action[row, side], rows.alive[row, side]
            )
            np.testing.assert_allclose(found[row, side], expected, rtol=1e-4)
    assert rows.tokens[0, 0] == 7 * 2


def test_token_probabilities_lie_in_0_1(toy_original):
    at_floor = eqx.tree_at(lambda p: p.raw_scale, toy_original, jnp.full(2, -30.0))
    observation = jax.random.normal(jax.random.key(0), (100, 3))
    assert (at_floor.step_log_prob(observation, at_floor.mode(observation)) <= 0).all()
    assert float(at_floor.step_log_prob(observation, at_floor.mode(observation)).max()) > -1e-5


def test_equals_a_plain_loop(toy_original, toy_rows):
    """Same updates as a loop over optax steps on the pytree, with reference log-probs computed anew."""
    rows, objective, key = head(toy_rows, 6), make_objective("dpo", beta=0.05), jax.random.key(3)
    trained, trace = train(objective, toy_original, rows, SETTINGS, key=key)
    order = np.concatenate([jax.random.permutation(k, 6).reshape(3, 2) for k in jax.random.split(key, 3)])
    optimiser = optax.chain(optax.clip_by_global_norm(SETTINGS.max_grad_norm), optax.adam(SETTINGS.learning_rate))
    parameters = (toy_original.layers, toy_original.raw_scale)
    state = optimiser.init(parameters)
    reference = row_log_probs(toy_original, rows)

    def loss(parameters, index):
        policy = eqx.tree_at(lambda p: (p.layers, p.raw_scale), toy_original, parameters)
        log_prob = (policy.step_log_prob(rows.observation[index], rows.action[index]) * rows.alive[index]).sum(-1)
        tokens = rows.tokens[index]
        pair = PairLogProbs(
            log_prob[:, 0], log_prob[:, 1], reference[index, 0], reference[index, 1],
            tokens[:, 0], tokens[:, 1], rows.margin[index],
        )  # fmt: skip
        return objective(pair, 0.0).mean()

    losses = []
    for index in order:
        value, gradient = jax.value_and_grad(loss)(parameters, index)
        change, state = optimiser.update(gradient, state, parameters)
        parameters = optax.apply_updates(parameters, change)
        losses.append(value)
    np.testing.assert_allclose(trace.loss, losses, rtol=1e-4, atol=1e-5)
    for ours, plain in zip(
        jax.tree.leaves((trained.layers, trained.raw_scale)), jax.tree.leaves(parameters), strict=True
    ):
        np.testing.assert_allclose(ours, plain, rtol=1e-3, atol=1e-5)


def test_sft_raises_the_chosen(toy_original, toy_rows):
    trained, trace = train(make_objective("sft_mean"), toy_original, toy_rows, SETTINGS, key=jax.random.key(0))
    before, after = (row_log_probs(policy, toy_rows)[:, 0].mean() for policy in (toy_original, trained))
    assert after > before + 1
    assert bool((trace.finite == 1).all())
    for name in ("observation_mean", "observation_std"):  # frozen buffers
        np.testing.assert_array_equal(getattr(trained, name), getattr(toy_original, name))


def test_sft_phase_makes_a_new_reference_and_adam_starts_anew(toy_original, toy_rows):
    """SFT for two epochs and then one of DPO equals the two trainings one after the other."""
    rows, key, dpo = head(toy_rows, 8), jax.random.key(5), make_objective("dpo", beta=0.1)
    both, trace = train(dpo, toy_original, rows, dataclasses.replace(SETTINGS, sft_epochs=2), key=key)
    all_sft, _ = train(make_objective("sft_mean"), toy_original, rows, SETTINGS, key=key)
    assert trace.loss.shape == (12,)
    # the first DPO update sees policy = reference: loss log 2, whatever SFT did
    np.testing.assert_allclose(trace.loss[8], np.log(2), rtol=1e-4)
    assert not np.allclose(both.raw_scale, all_sft.raw_scale)


def test_progress_counts_all_epochs(toy_original, toy_rows):
    """tempo at t0 = 1 is SFT to the last update: progress stays under 1."""
    rows, key = head(toy_rows, 8), jax.random.key(1)
    sft, _ = train(make_objective("sft_mean"), toy_original, rows, SETTINGS, key=key)
    late, _ = train(make_objective("tempo", t0=1.0, t1=2.0), toy_original, rows, SETTINGS, key=key)
    ramp, _ = train(make_objective("tempo"), toy_original, rows, SETTINGS, key=key)
    np.testing.assert_allclose(late.raw_scale, sft.raw_scale, rtol=1e-5)
    assert not np.allclose(ramp.raw_scale, sft.raw_scale, rtol=1e-4)


def test_every_epoch_visits_every_row_once():
    from mpo_core.training.inner_loop import _minibatches

    order = _minibatches(7, InnerLoopSettings(epochs=4, minibatch=2), jax.random.key(0))
    assert order.shape == (12, 2)
    for epoch in np.asarray(order).reshape(4, 6):
        assert len(set(epoch)) == 6
    with pytest.raises(ValueError, match="minibatch"):
        _minibatches(1, InnerLoopSettings(), jax.random.key(0))


def test_the_first_bad_step_is_seen(toy_original, toy_rows):
    broken = eqx.tree_at(lambda r: r.action, toy_rows, toy_rows.action.at[0, 0, 0, 0].set(jnp.nan))
    _, trace = train(make_objective("sft_mean"), toy_original, broken, SETTINGS, key=jax.random.key(0))
    first = int(jnp.argmin(trace.finite))
    assert trace.finite[first] == 0
    assert bool((trace.finite[:first] == 1).all())
    assert bool((trace.finite[first:] == 0).all())


def test_switch_trains_each_objective_as_if_alone(toy_original, toy_rows):
    zoo = [
        make_objective("dpo", beta=0.05),
        make_objective("orpo"),
        make_objective("dpo", beta=0.2),
        make_objective("tempo"),
    ]
    rows, key = head(toy_rows, 8), jax.random.key(2)
    stacked = stack_objectives(zoo)
    assert len(stacked.branches) == 3  # one a structure: the two dpo share theirs
    together = jax.jit(
        lambda s: jax.lax.map(lambda o: train(o, toy_original, rows, SETTINGS, key=key)[0].raw_scale, s)
    )(stacked)
    for found, objective in zip(together, zoo, strict=True):
        alone, _ = train(objective, toy_original, rows, SETTINGS, key=key)
        np.testing.assert_allclose(found, alone.raw_scale, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("id", "sft_epochs"), [("dpo", 0), ("tempo", 1), ("beta_dpo", 1), ("dpo", 3)])
def test_epochs_end_where_training_ends(id, sft_epochs, toy_original, toy_rows):
    rows, key, objective = head(toy_rows, 7), jax.random.key(4), make_objective(id)
    settings = dataclasses.replace(SETTINGS, sft_epochs=sft_epochs)
    trained, trace = train(objective, toy_original, rows, settings, key=key)
    by_epoch, trace_by_epoch = train_by_epoch(objective, toy_original, rows, settings, key=key)
    assert trace_by_epoch.loss.shape == (3, 3)
    jax.tree.map(
        lambda found, whole: np.testing.assert_allclose(found.reshape(-1), whole, rtol=1e-4, atol=1e-6),
        trace_by_epoch, trace,
    )  # fmt: skip
    assert all(leaf.shape[0] == 3 for leaf in jax.tree.leaves(by_epoch))
    jax.tree.map(
        lambda found, whole: np.testing.assert_allclose(found[-1], whole, rtol=1e-4, atol=1e-6), by_epoch, trained
    )


def test_an_epoch_is_kept_as_it_was(toy_original, toy_rows):
    """The policy after two of three epochs is that of a training of two; dpo does not see progress."""
    rows, key, dpo = head(toy_rows, 8), jax.random.key(6), make_objective("dpo", beta=0.05)
    by_epoch, _ = train_by_epoch(dpo, toy_original, rows, SETTINGS, key=key)
    for epochs in (1, 2):
        shorter, _ = train(dpo, toy_original, rows, dataclasses.replace(SETTINGS, epochs=epochs), key=key)
        np.testing.assert_allclose(by_epoch.raw_scale[epochs - 1], shorter.raw_scale, rtol=1e-5)
    assert not np.allclose(by_epoch.raw_scale[0], by_epoch.raw_scale[1], rtol=1e-4)


def test_an_sft_phase_that_is_shared_gives_the_same_policy_and_trace(toy_rows, toy_original):
    inner = InnerLoopSettings(epochs=3, sft_epochs=2, learning_rate=1e-2)
    objective, key = make_objective("dpo", beta=0.3), jax.random.key(4)
    alone, trace = train(objective, toy_original, toy_rows, inner, key=key)
    reference = row_log_probs(toy_original, toy_rows)
    phase = run_sft(toy_original, toy_rows, inner, key=key, reference=reference)
    shared, joined = train(objective, toy_original, toy_rows, inner, key=key, reference=reference, after_sft=phase)
    for one, other in zip(jax.tree.leaves((alone, trace)), jax.tree.leaves((shared, joined)), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)


def test_learned_objectives_of_other_resolutions_over_time_share_a_switch():
    """Their trees have the same structure, but leaves of other shapes, which cannot be stacked."""
    zoo = [
        learned_mirror(as_mirror("orpo", lam=lam), temporal=temporal)
        for lam in (0.1, 0.7)
        for temporal in (False, True)
    ]
    stacked = stack_objectives(zoo)
    assert len(stacked.branches) == 2
    pair = PairLogProbs(*(jnp.array([value]) for value in (-20.0, -30.0, -25.0, -25.0, 10.0, 12.0, 0.5)))
    for place, objective in enumerate(zoo):
        one = jax.tree.map(lambda leaf, at=place: jnp.asarray(leaf[at]), stacked)
        assert one(pair, 0.3) == objective(pair, 0.3)


@pytest.mark.parametrize("activation", ["relu", "tanh", "swish"])
def test_steps_as_columns_have_the_log_probs_and_slopes_of_steps_as_rows(toy_original, activation):
    policy = dataclasses.replace(toy_original, activation=activation, observation_mean=jnp.array([0.1, -0.2, 0.3]))
    keys = jax.random.split(jax.random.key(11), 3)
    observation, action = jax.random.normal(keys[0], (40, 3)), jax.random.normal(keys[1], (40, 2))
    weight = jax.random.normal(keys[2], (40,))

    def by_columns(policy):
        return column_log_probs(policy, observation.T, action.T)

    def by_rows(policy):
        return policy.step_log_prob(observation, action)

    np.testing.assert_allclose(by_columns(policy), by_rows(policy), rtol=1e-5, atol=1e-5)
    ours, plain = (jax.grad(lambda p, of=of: weight @ of(p))(policy) for of in (by_columns, by_rows))
    for name in ("layers", "raw_scale"):
        pairs = zip(jax.tree.leaves(getattr(ours, name)), jax.tree.leaves(getattr(plain, name)), strict=True)
        for a, b in pairs:
            np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-4)
            assert np.abs(b).max() > 0
