"""Hand-written objectives: reference values, identities, behaviour at the edges, the catalogue's errors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from helpers.objective_check_values import CHECK_VALUES, KINKS_AT_A, POINT_A, POINT_B, PROGRESS_A, PROGRESS_B, SETTINGS
from helpers.objective_points import pair_at, random_point, value_and_slopes
from mpo_core.losses.catalogue import NOT_BUILT, catalogue, make_objective, objective_ids, parse_objective_text
from mpo_core.objective.interface import AbstractStatefulObjective

WITH_VALUES = [id for id in objective_ids() if id in CHECK_VALUES]


@pytest.fixture(autouse=True)
def _float64():
    with jax.enable_x64(True):
        yield


@pytest.mark.parametrize("id", WITH_VALUES)
def test_matches_reference_values(id):
    settings_a, settings_b = SETTINGS.get(id, ({}, {}))
    for settings, point, progress, expected in (
        (settings_a, POINT_A, PROGRESS_A, CHECK_VALUES[id][0]),
        (settings_b, POINT_B, PROGRESS_B, CHECK_VALUES[id][1]),
    ):
        got = [float(x[0]) for x in value_and_slopes(make_objective(id, **settings), point, progress)]
        compared = 1 if point is POINT_A and id in KINKS_AT_A else 3
        np.testing.assert_allclose(got[:compared], expected[:compared], rtol=1e-6, atol=1e-7)


def test_tempo_fades_from_imitation_to_preference():
    loss = make_objective("tempo")
    for progress, expected in ((0.0, 1.0), (0.25, 0.75 + 0.25 * np.log1p(np.exp(0.5))), (0.9999999, None)):
        value, by_chosen, by_rejected = value_and_slopes(loss, POINT_B, progress)
        if expected is not None:
            np.testing.assert_allclose(value, expected, rtol=1e-12)
        else:
            simpo = value_and_slopes(make_objective("simpo", gamma=0), POINT_B)
            np.testing.assert_allclose([value, by_chosen, by_rejected], simpo, rtol=1e-5)
    switch = make_objective("tempo", t0=10 / 12, t1=10 / 12)
    assert switch(pair_at(POINT_B), 0.8) == 1.0
    np.testing.assert_allclose(switch(pair_at(POINT_B), 10 / 12), np.log1p(np.exp(0.5)))


def test_sign_of_r_dpo_can_be_exposed_by_alpha():
    plus, minus = (make_objective("r_dpo", alpha=alpha)(pair_at(POINT_B), 0.0) for alpha in (0.05, -0.05))
    np.testing.assert_allclose(plus, np.log1p(np.exp(0.2)))
    np.testing.assert_allclose(minus, np.log1p(np.exp(-0.6)))


def test_r_dpo_is_dpo_where_lengths_are_equal():
    point = random_point() | {"chosen_length": 20.0 * np.ones(6), "rejected_length": 20.0 * np.ones(6)}
    np.testing.assert_allclose(make_objective("r_dpo")(pair_at(point), 0.0), make_objective("dpo")(pair_at(point), 0.0))


@pytest.mark.parametrize("id", ["cpo", "slic_hf", "rrhf"])
def test_nll_can_be_the_mean(id):
    pair = pair_at(POINT_B)
    difference = make_objective(id, nll="sum")(pair, 0.0) - make_objective(id, nll="mean")(pair, 0.0)
    np.testing.assert_allclose(difference, (8 - 1) * make_objective(id).lam)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("id", objective_ids())
def test_finite_on_trajectories_and_at_equality(id, dtype):
    lengths = np.array([6000.0, 6000.0, 6000.0, 6000.0, 300.0, 6000.0])
    point = {
        "chosen": np.array([-20000.0, -20000.0, -9000.0, -0.001, -20000.0, 0.0]),
        "rejected": np.array([-20000.0, -9000.0, -20000.0, -20000.0, -300.0, 0.0]),
        "ref_chosen": np.array([-20000.0, -19000.0, -19000.0, -18000.0, -500.0, 0.0]),
        "ref_rejected": np.array([-20000.0, -19000.0, -19000.0, -18000.0, -500.0, 0.0]),
        "chosen_length": lengths,
        "rejected_length": lengths[::-1],
        "margin": np.array([0.0, 1.0, -1.0, 5.0, -40.0, 40.0]),
    }
    with jax.enable_x64(dtype == "float64"):
        point = {name: jnp.asarray(value, dtype) for name, value in point.items()}
        for array in value_and_slopes(make_objective(id), point):
            assert array.dtype == dtype
            assert np.isfinite(array).all(), (id, array)


@pytest.mark.parametrize("id", objective_ids())
def test_batch_is_rows_wide_and_progress_may_be_traced(id):
    point = random_point()
    losses = jax.eval_shape(lambda progress: make_objective(id)(pair_at(point), progress), jnp.zeros(()))
    assert losses.shape == (6,)


def test_sweep_over_a_hyper_parameter_is_one_compilation():
    traced = []

    def loss(beta):
        traced.append(beta)
        return make_objective("dpo", beta=beta)(pair_at(POINT_B), 0.0)

    sweep = jax.jit(jax.vmap(loss))
    for betas in (jnp.array([0.1, 1.0]), jnp.array([0.2, 2.0])):
        np.testing.assert_allclose(sweep(betas)[:, 0], np.log1p(np.exp(-2 * np.asarray(betas))))
    assert len(traced) == 1


def test_hyper_parameters_are_float_leaves():
    for id in objective_ids():
        for leaf in jax.tree.leaves(make_objective(id)):
            assert isinstance(leaf, jax.Array), id
            assert leaf.shape == (), id
            assert jnp.issubdtype(leaf.dtype, jnp.floating), id


def test_catalogue_is_consistent():
    ids = objective_ids()
    assert len(ids) == len(set(ids)) == len(catalogue())
    for entry in catalogue():
        objective = make_objective(entry.id)
        assert entry.factory.__doc__, entry.id
        for tuned in entry.tuning:
            assert 0 < tuned.low < tuned.high or (tuned.low < tuned.high and not tuned.log), entry.id
            make_objective(entry.id, **{tuned.name: tuned.low})
        # What the entry says of references, lengths and rewards is what the objective reads.
        point = random_point(rows=24)
        base = objective(pair_at(point), 0.5)
        moved = {
            "ref_chosen": point["ref_chosen"] + 1.5,
            "margin": point["margin"] + 1.5,
            "group": np.repeat([0, 0, 0, 0, 1, 2], 4),
        }
        reads = {name: not np.allclose(objective(pair_at(point | {name: v}), 0.5), base) for name, v in moved.items()}
        assert reads["ref_chosen"] == entry.needs_reference, entry.id
        assert reads["margin"] == entry.sees_rewards, entry.id
        assert reads["group"] == entry.sees_groups, entry.id
        assert entry.sees_groups == (isinstance(objective, AbstractStatefulObjective) and objective.sees_groups)
    assert {entry.id for entry in catalogue() if entry.sft_epochs} == {"dpo", "ipo", "ipo_mean", "simpo", "r_dpo"}


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: make_objective("dppo"), r"unknown objective 'dppo': did you mean 'dpo'.*\(mpo list objectives shows"),
        (lambda: make_objective("mrpo"), r"unknown objective 'mrpo'.*that name is not built: it needs the log-probs"),
        (lambda: make_objective("zzzzz"), r"unknown objective 'zzzzz' \(mpo list"),
        (lambda: make_objective("dpo", betta=1), r"unknown setting of objective 'dpo' 'betta': did you mean 'beta'\?"),
        (lambda: make_objective("sft", beta=1), r"'sft' has no settings"),
        (lambda: make_objective("dpo", beta="x"), r"beta is a finite number, not 'x'"),
        (lambda: make_objective("dpo", beta=None), r"beta is a finite number, not None"),
        (lambda: make_objective("dpo", beta=True), r"beta is a finite number, not True"),
        (lambda: make_objective("cpo", nll="max"), r"nll is one of sum, mean, not 'max'"),
        (lambda: parse_objective_text("dpo:beta=nan"), r"beta is a finite number, not nan"),
        (lambda: parse_objective_text("dpo:beta"), r"'beta' is not of the form NAME=VALUE"),
        (lambda: parse_objective_text("dpo:"), r"ends with a colon"),
        (lambda: parse_objective_text("dpo:beta=1,beta=2"), r"sets 'beta' twice"),
        (lambda: parse_objective_text("dpo:tau=1"), r"unknown setting of objective 'dpo' 'tau'.*\(allowed: beta\)"),
        (lambda: parse_objective_text("dpo:beta=big"), r"beta is a finite number, not 'big'"),
        (lambda: parse_objective_text(""), r"unknown objective ''"),
    ],
)
def test_errors_name_the_nearest(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_what_is_not_built_is_not_in_the_catalogue():
    assert not set(NOT_BUILT) & set(objective_ids())
    assert set(CHECK_VALUES) <= set(objective_ids())


def test_objective_text():
    assert parse_objective_text("dpo") == ("dpo", {})
    assert parse_objective_text("cpo: beta=0.3, nll=mean") == ("cpo", {"beta": 0.3, "nll": "mean"})
    id, settings = parse_objective_text("simpo:beta=2.5,gamma=0")
    assert float(make_objective(id, **settings).beta) == 2.5
