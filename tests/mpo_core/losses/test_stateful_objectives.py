"""Objectives with a state: it moves as computed by hand, no gradient passes it, and nobody else's program has it."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.extend.core import jaxprs_in_params

from helpers.objective_points import pair_at, random_point
from helpers.toy_task import TOY_HORIZON
from mpo_core.data.specification import parse_data_spec
from mpo_core.evaluation.candidates import Candidate
from mpo_core.evaluation.comparison import Comparison, ComparisonSettings
from mpo_core.losses.catalogue import catalogue, make_objective
from mpo_core.losses.switch import StatefulSwitchObjective, SwitchObjective, stack_objectives
from mpo_core.objective.interface import AbstractStatefulObjective
from mpo_core.objective.pair_log_probs import PairLogProbs
from mpo_core.seeds import Stream
from mpo_core.settings import EvaluationSettings, InnerLoopSettings, RowSettings
from mpo_core.training.inner_loop import train
from mpo_core.training.learners import row_log_probs
from mpo_core.training.update import STEP_KEYS

IDS = ("beta_dpo", "alpha_dpo", "group_robust")
SETTINGS = InnerLoopSettings(epochs=1, minibatch=4, learning_rate=1e-2)
KEY = jax.random.key(11)
GROUP = np.array([0, 0, 1, 1, 1, 0])


@pytest.fixture(scope="module")
def rows(toy_rows):
    """Eight rows, four of either kind."""
    return jax.tree.map(lambda leaf: leaf[::4], toy_rows)


def softplus(x):
    return np.log1p(np.exp(x))


def margins(point):
    """D and A - B."""
    ratios = [(point[side] - point[f"ref_{side}"], point[f"{side}_length"]) for side in ("chosen", "rejected")]
    return ratios[0][0] - ratios[1][0], ratios[0][0] / ratios[0][1] - ratios[1][0] / ratios[1][1]


def test_these_are_the_stateful_ones():
    stateful = [e.id for e in catalogue() if issubclass(e.factory, AbstractStatefulObjective)]
    assert sorted(stateful) == sorted(IDS)


def test_beta_dpo_by_hand():
    objective = make_objective("beta_dpo", beta=0.05, a=0.1, m0=0.3, sd=2.0, keep=1.0)
    state, mean, sd = objective.initial_state(), 0.3, 2.0
    for seed in range(3):
        point = random_point(seed=seed)
        margin, _ = margins(point)
        losses, state = objective.step(pair_at(point), 0.5, state, key=KEY)
        mean, sd = 0.9 * mean + 0.1 * margin.mean(), 0.9 * sd + 0.1 * margin.std(ddof=1)
        np.testing.assert_allclose([state.mean, state.deviation], [mean, sd], rtol=1e-5)
        beta = max(1e-3, 0.05 * (1 + 0.1 * (margin.mean() - mean)))
        np.testing.assert_allclose(losses, softplus(-beta * margin), rtol=1e-4)


def test_beta_dpo_drops_rows():
    """As many as asked for; their weight goes to the others; rows far from the mean go first."""
    objective = make_objective("beta_dpo", keep=0.5, a=0.0, sd=30.0)
    point = random_point(rows=5)
    bare = np.asarray(objective(pair_at(point), 0.5))
    state = objective.initial_state()
    kept = set()
    for key in jax.random.split(KEY, 20):
        losses = np.asarray(objective.step(pair_at(point), 0.5, state, key=key)[0])
        assert (losses > 0).sum() == 2
        np.testing.assert_allclose(losses[losses > 0], 2.5 * bare[losses > 0], rtol=1e-5)
        kept.add(tuple(losses > 0))
    assert len(kept) > 2
    far = point | {"chosen": point["ref_chosen"] + [0, 0, 0, 0, 1000], "rejected": point["ref_rejected"]}
    narrow = make_objective("beta_dpo", keep=0.8, decay=1.0)
    losses, _ = narrow.step(pair_at(far), 0.5, state, key=KEY)
    np.testing.assert_array_equal(losses > 0, [True] * 4 + [False])


@pytest.mark.parametrize(("keep", "rows", "count"), [(0.8, 2, 2), (0.1, 2, 1), (0.8, 1, 1), (0.8, 8, 6)])
def test_beta_dpo_keeps_a_row_at_least(keep, rows, count):
    objective = make_objective("beta_dpo", keep=keep, a=0.0)
    losses, state = objective.step(pair_at(random_point(rows)), 0.5, objective.initial_state(), key=KEY)
    assert int((losses > 0).sum()) == count
    assert all(np.isfinite(leaf) for leaf in jax.tree.leaves(state))


def test_alpha_dpo_by_hand():
    objective = make_objective("alpha_dpo", center=0.2, sd=0.7, decay=0.8)
    state, mean, sd = objective.initial_state(), 0.2, 0.7
    for seed in range(3):
        point = random_point(seed=seed)
        _, margin = margins(point)
        losses, state = objective.step(pair_at(point), 0.5, state, key=KEY)
        mean, sd = 0.8 * mean + 0.2 * margin.mean(), 0.8 * sd + 0.2 * margin.std(ddof=1)
        np.testing.assert_allclose([state.mean, state.deviation], [mean, sd], rtol=1e-5)
        means = point["chosen"] / point["chosen_length"] - point["rejected"] / point["rejected_length"]
        expected = softplus(-2.5 * (means - 0.6 - 0.2 * (margin - mean) / sd))
        np.testing.assert_allclose(losses, expected, rtol=1e-4)


def test_group_robust_by_hand():
    """The third group never shows up, so it has no share; the second joins late."""
    objective = make_objective("group_robust", beta=0.05, step_size=0.3)
    state, weight = objective.initial_state(), np.ones(3)
    for seed, group in enumerate((np.zeros(6, int), GROUP, GROUP)):
        point = random_point(seed=seed)
        loss = softplus(-0.05 * margins(point)[0])
        losses, state = objective.step(pair_at(point, group=group), 0.5, state, key=KEY)
        of_group = [loss[group == g].mean() if (group == g).any() else 0.0 for g in range(3)]
        weight = weight * np.exp(0.3 * np.array(of_group))
        seen = [True, seed > 0, False]
        share = weight * seen / weight[seen].sum()
        np.testing.assert_array_equal(state.seen, seen)
        np.testing.assert_allclose(np.exp(state.log_weight), weight / weight.max(), rtol=1e-5)
        np.testing.assert_allclose(losses.mean(), share @ of_group, rtol=1e-5)


def test_the_harder_group_gains_weight():
    objective = make_objective("group_robust")
    state = objective.initial_state()
    point = random_point() | {"chosen": np.where(GROUP == 1, -80.0, -40.0), "rejected": np.full(6, -60.0)}
    point |= {"ref_chosen": np.full(6, -60.0), "ref_rejected": np.full(6, -60.0)}
    ratios = []
    for _ in range(3):
        _, state = objective.step(pair_at(point, group=GROUP), 0.5, state, key=KEY)
        ratios.append(float(state.log_weight[1] - state.log_weight[0]))
    assert 0 < ratios[0] < ratios[1] < ratios[2]
    without, same = objective.step(pair_at(point), 0.5, state, key=KEY)
    np.testing.assert_allclose(without, make_objective("dpo")(pair_at(point), 0.5))
    np.testing.assert_array_equal(same.log_weight, state.log_weight)


@pytest.mark.parametrize("id", IDS)
def test_no_gradient_through_the_state(id):
    objective, pair = make_objective(id), pair_at(random_point(), group=GROUP)

    def of_state(state):
        return objective.step(pair, 0.5, state, key=KEY)[0].sum()

    def of_chosen(chosen):
        _, state = objective.step(eqx.tree_at(lambda p: p.chosen, pair, chosen), 0.5, start, key=KEY)
        return sum(leaf.astype(float).sum() for leaf in jax.tree.leaves(state))

    start = objective.initial_state()
    for slope in (eqx.filter_grad(of_state)(start), jax.grad(of_chosen)(pair.chosen)):
        assert all(not np.any(leaf) for leaf in jax.tree.leaves(slope))


@pytest.mark.parametrize("id", IDS)
@pytest.mark.parametrize("apart", [0.0, 1.0, -19000.0, 19000.0])
def test_finite_on_trajectories(id, apart):
    """Over several updates, with gradients; the first at policy = reference, where no deviation is known."""
    objective = make_objective(id)
    state, length = objective.initial_state(), np.full(2, 6000.0)

    def loss(chosen, offset, state):
        pair = PairLogProbs(
            chosen, np.full(2, -20000.0), np.full(2, -20000.0), np.full(2, -20000.0) + offset, length, length,
            np.ones(2), np.array([0, 1]),
        )  # fmt: skip
        losses, state = objective.step(pair, 0.5, state, key=KEY)
        return losses.mean(), state

    step = jax.jit(jax.value_and_grad(loss, has_aux=True))
    for update in range(4):
        (value, state), slope = step(jnp.full(2, -20000.0), jnp.array([0.0, min(update, 1) * apart]), state)
        for leaf in (value, slope, *jax.tree.leaves(state)):
            assert np.isfinite(leaf).all()


def plain_updates(id, policy, rows, count):
    """Two updates written from the definitions: what the state makes of a minibatch is a constant of its loss."""
    order = jax.random.permutation(jax.random.split(KEY, 1)[0], 8).reshape(2, 4)
    keys = jax.random.split(jax.random.fold_in(KEY, STEP_KEYS), 2)
    reference, parameters = row_log_probs(policy, rows), (policy.layers, policy.raw_scale)
    optimiser = optax.chain(optax.clip_by_global_norm(SETTINGS.max_grad_norm), optax.adam(SETTINGS.learning_rate))
    moments, memory = optimiser.init(parameters), {"mean": 0.0, "sd": 1.0, "weight": np.ones(3), "seen": np.zeros(3)}

    def ratios(parameters, index):
        found = eqx.tree_at(lambda p: (p.layers, p.raw_scale), policy, parameters)
        log_prob = (found.step_log_prob(rows.observation[index], rows.action[index]) * rows.alive[index]).sum(-1)
        return log_prob, log_prob - reference[index], rows.tokens[index]

    def update_memory(margin):
        memory["mean"] = 0.9 * memory["mean"] + 0.1 * margin.mean()
        memory["sd"] = 0.9 * memory["sd"] + 0.1 * margin.std(ddof=1)

    def beta_dpo(ratio, index, key):
        margin = np.asarray(ratio[1][:, 0] - ratio[1][:, 1])
        update_memory(margin)
        score = -0.5 * ((margin - memory["mean"]) / memory["sd"]) ** 2 + jax.random.gumbel(key, (4,))
        kept = np.argsort(-np.asarray(score))[:2]
        beta = max(1e-3, 0.1 * (1 + 0.6 * (margin[kept].mean() - memory["mean"])))
        return lambda _, r, n: jax.nn.softplus(-beta * (r[kept, 0] - r[kept, 1])).mean()

    def alpha_dpo(ratio, index, key):
        margin = np.asarray(ratio[1][:, 0] / ratio[2][:, 0] - ratio[1][:, 1] / ratio[2][:, 1])
        update_memory(margin)
        target = 0.6 + 0.2 * (margin - memory["mean"]) / memory["sd"]
        return lambda p, _, n: jax.nn.softplus(-2.5 * (p[:, 0] / n[:, 0] - p[:, 1] / n[:, 1] - target)).mean()

    def group_robust(ratio, index, key):
        group = np.asarray(rows.source[index]).sum(1)
        loss = np.asarray(jax.nn.softplus(-0.1 * (ratio[1][:, 0] - ratio[1][:, 1])))
        for g in set(group):
            memory["weight"][g] *= np.exp(0.01 * loss[group == g].mean())
            memory["seen"][g] = 1
        share = memory["weight"] * memory["seen"] / (memory["weight"] * memory["seen"]).sum()

        def robust(_, r, n):
            losses = jax.nn.softplus(-0.1 * (r[:, 0] - r[:, 1]))
            return sum(share[g] * losses[group == g].mean() for g in set(group))

        return robust

    prepare = {"beta_dpo": beta_dpo, "alpha_dpo": alpha_dpo, "group_robust": group_robust}[id]
    values = []
    for index, key in zip(order, keys, strict=True):
        loss = prepare(ratios(parameters, index), index, key)
        value, gradient = jax.value_and_grad(lambda p, i=index, loss=loss: loss(*ratios(p, i)))(parameters)
        change, moments = optimiser.update(gradient, moments, parameters)
        parameters = optax.apply_updates(parameters, change)
        values.append(value)
    return parameters, values


@pytest.mark.parametrize(("id", "changes"), [("beta_dpo", {"keep": 0.5}), ("alpha_dpo", {}), ("group_robust", {})])
def test_inner_loop_equals_a_plain_loop(id, changes, toy_original, rows):
    trained, trace = train(make_objective(id, **changes), toy_original, rows, SETTINGS, key=KEY)
    parameters, values = plain_updates(id, toy_original, rows, 2)
    np.testing.assert_allclose(trace.loss, values, rtol=1e-4, atol=1e-5)
    pairs = zip(jax.tree.leaves((trained.layers, trained.raw_scale)), jax.tree.leaves(parameters), strict=True)
    for ours, plain in pairs:
        np.testing.assert_allclose(ours, plain, rtol=1e-3, atol=1e-5)


def test_the_state_begins_after_sft(toy_original, rows):
    """The first update then sees policy = reference: loss log 2."""
    settings = dataclasses.replace(SETTINGS, epochs=3, sft_epochs=2)
    for id in ("beta_dpo", "group_robust"):
        _, trace = train(make_objective(id), toy_original, rows, settings, key=KEY)
        np.testing.assert_allclose(trace.loss[4], np.log(2), rtol=1e-4)
        assert bool((trace.finite == 1).all())


def test_a_sweep_is_a_vmap(toy_original, rows):
    def scale(beta):
        return train(make_objective("beta_dpo", beta=beta, keep=0.5), toy_original, rows, SETTINGS, key=KEY)[
            0
        ].raw_scale

    betas = jnp.array([0.02, 0.2])
    found = jax.jit(jax.vmap(scale))(betas)
    for beta, one in zip(betas, found, strict=True):
        np.testing.assert_allclose(one, scale(beta), rtol=1e-4)
    assert not np.allclose(found[0], found[1], rtol=1e-5)


def test_a_switch_with_states_trains_each_as_if_alone(toy_original, rows):
    zoo = [make_objective(id) for id in ("dpo", *IDS)]
    zoo += [make_objective("beta_dpo", beta=0.01, keep=0.5), make_objective("orpo")]
    settings = dataclasses.replace(SETTINGS, epochs=3)
    stacked = stack_objectives(zoo)
    assert isinstance(stacked, StatefulSwitchObjective)
    assert len(stacked.branches) == 5
    together = jax.jit(lambda s: jax.lax.map(lambda o: train(o, toy_original, rows, settings, key=KEY), s))(stacked)
    for place, objective in enumerate(zoo):
        alone, trace = train(objective, toy_original, rows, settings, key=KEY)
        np.testing.assert_allclose(together[0].raw_scale[place], alone.raw_scale, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(together[1].loss[place], trace.loss, rtol=1e-3, atol=1e-5)


def test_a_switch_moves_the_chosen_state_alone():
    zoo = [make_objective("dpo"), make_objective("alpha_dpo"), make_objective("beta_dpo")]
    pair, stacked = pair_at(random_point()), stack_objectives(zoo)
    for place, objective in enumerate(zoo):
        switch = jax.tree.map(lambda leaf, place=place: jnp.asarray(leaf[place]), stacked)
        assert not switch.sees_groups
        np.testing.assert_allclose(switch(pair, 0.5), objective(pair, 0.5), rtol=1e-6)
        before = switch.initial_state()
        losses, after = switch.step(pair, 0.5, before, key=KEY)
        moved = [any(jax.tree.leaves(jax.tree.map(np.any, s != t))) for s, t in zip(before, after, strict=True)]
        assert moved == [at == place > 0 for at in range(3)]
        if place:
            expected, _ = objective.step(pair, 0.5, objective.initial_state(), key=KEY)
            np.testing.assert_allclose(losses, expected, rtol=1e-5)


def test_a_race_mixes_both_kinds(toy_program, toy_agents):
    settings = ComparisonSettings(
        parse_data_spec("mixed:0.5"), RowSettings(8, TOY_HORIZON), InnerLoopSettings(epochs=2, learning_rate=1e-2),
        EvaluationSettings(episodes=4, horizon=TOY_HORIZON), seed=0, stream=Stream.REPORTING, units=2,
        mode_actions=False,
    )  # fmt: skip
    candidates = [Candidate(make_objective(id)) for id in ("orpo", "beta_dpo", "group_robust")]
    together = Comparison(toy_program, toy_agents, settings).run(candidates)
    for place in (0, 2):
        alone = Comparison(toy_program, toy_agents, settings).run(candidates[place : place + 1])
        np.testing.assert_allclose(alone.sampled[0], together.sampled[place], rtol=1e-4)


def carried(scan):
    """Arrays in the carry of a scan, by its parameters; jax 0.12 has trees of constants, carry and inputs."""
    return scan["num_carry"] if "num_carry" in scan else len(scan["ft_in"].unpack()[1])


def program_of(objective, policy, rows):
    """The primitives of the training program, and the size of the carry of its loop over updates."""
    closed = jax.make_jaxpr(lambda o, k: train(o, policy, rows, SETTINGS, key=k, reference=jnp.zeros((8, 2))))(
        objective, KEY
    )
    names, carries = [], []

    def walk(jaxpr):
        for equation in jaxpr.eqns:
            names.append(equation.primitive.name)
            if equation.primitive.name == "scan":
                carries.append(carried(equation.params))
            for inner in jaxprs_in_params(equation.params):
                walk(inner)

    walk(closed.jaxpr)
    return names, carries


def test_programs_without_state_are_as_before(toy_original, rows):
    """One split into the epochs' keys, no key folded; the loop carries parameters and Adam's three."""
    one = jax.tree.map(lambda leaf: leaf[0], stack_objectives([make_objective("dpo"), make_objective("tempo")]))
    assert isinstance(one, SwitchObjective)
    stateless, stateful = (
        program_of(o, toy_original, rows) for o in (make_objective("dpo"), make_objective("beta_dpo"))
    )
    for names, carries in (stateless, program_of(one, toy_original, rows)):
        assert "random_fold_in" not in names
        assert names.count("random_bits") == stateless[0].count("random_bits")
        assert carries == [4]
    assert stateful[0].count("random_fold_in") == 1
    assert stateful[0].count("random_bits") == stateless[0].count("random_bits") + 1
    assert stateful[1] == [6]


def test_step_keys_are_nobody_elses():
    """Splitting a key folds 0, 1, 2... into it."""
    keys = jax.random.key_data(jax.random.split(KEY, 1000))
    own = jax.random.key_data(jax.random.fold_in(KEY, STEP_KEYS))
    assert not (keys == own).all(1).any()
    assert STEP_KEYS > 10**9
