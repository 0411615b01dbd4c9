"""Modifiers give the objectives they are said to give; identities among the zoo."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from helpers.objective_check_values import POINT_B
from helpers.objective_points import pair_at, random_point, value_and_slopes
from mpo_core.losses.catalogue import make_objective, objective_ids
from mpo_core.losses.members import as_mirror, member_ids
from mpo_core.losses.modifiers import (
    Interpolation,
    LabelNoise,
    MarginConfidence,
    PairProbability,
    PerToken,
    Weighted,
    WeightedSum,
    WithImitation,
    WithoutReference,
    WithReferenceKl,
    extrapolated_reference,
    joint_reference,
    swapped,
)


@pytest.fixture(autouse=True)
def _float64():
    with jax.enable_x64(True):
        yield


def make(id, **settings):
    return lambda: make_objective(id, **settings)


def label_noise_of_dpo(**settings):
    return lambda: LabelNoise(make_objective("dpo"), **settings)


EQUAL = {
    "cdpo is dpo under label noise": (make("cdpo"), label_noise_of_dpo()),
    "robust_dpo undoes label noise": (make("robust_dpo"), label_noise_of_dpo(debiased=True)),
    "robust_dpo(0) is dpo": (make("robust_dpo", epsilon=0), make("dpo")),
    "cdpo(0) is dpo": (make("cdpo", epsilon=0), make("dpo")),
    "wpo": (make("wpo_dpo"), lambda: Weighted(make_objective("dpo", beta=0.01), PairProbability())),
    "irpo": (make("irpo"), lambda: WithImitation(make_objective("dpo"))),
    "rpo_sft": (make("rpo_sft"), lambda: WithImitation(make_objective("dpo", beta=0.01), 0.005, "sum")),
    "cpo": (make("cpo"), lambda: WithImitation(WithoutReference(make_objective("dpo")), nll="sum")),
    "pmpo": (make("pmpo", kl=0.7), lambda: WithReferenceKl(make_objective("pmpo", kl=0), 0.7)),
    "dpo_norm": (make("dpo_norm"), lambda: PerToken(make_objective("dpo", beta=5))),
    "ipo_mean": (make("ipo_mean"), lambda: PerToken(make_objective("ipo"))),
    "simpo": (make("simpo", gamma=0), lambda: PerToken(WithoutReference(make_objective("dpo", beta=2)))),
    "tempo": (
        make("tempo"),
        lambda: Interpolation(make_objective("sft_mean"), make_objective("simpo", gamma=0)),
    ),
    "mixed_po": (
        make("mixed_po"),
        lambda: WeightedSum(
            tuple(make_objective(id, **with_beta) for id, with_beta in MIXED_PO_TERMS), jnp.array([0.8, 0.2, 1.0])
        ),
    ),
    "inpo(prev=ref) is ipo": (make("inpo"), make("ipo", tau=0.0075)),
    "alphapo(0) is simpo": (make("alphapo", alpha=0, beta=2, gamma=1), make("simpo")),
    "mappo(1) is dpo": (make("mappo", dr=1), make("dpo")),
    "dpo_shift(1) is dpo": (make("dpo_shift", lo=1, hi=1), make("dpo")),
    "f_dpo_alpha(1) is dpo": (make("f_dpo_alpha", alpha=1), make("dpo")),
    "r_dpo(0) is dpo": (make("r_dpo", alpha=0), make("dpo")),
    "cpl(1) is cpo(0)": (make("cpl", lam=1), make("cpo", lam=0)),
    "beta_dpo(0) is dpo": (make("beta_dpo", a=0), make("dpo")),
    "rpo_diagonal(1) is dpo": (make("rpo_diagonal", c=1), make("dpo")),
    "kto with kl 0": (make("kto", kl=0), make("apo_zero")),
    "pro_pair without rewards": (
        make("pro_pair", temperature=1),
        lambda: WithImitation(make_objective("simpo", beta=1, gamma=0), 0.05, "sum"),
    ),
    "alpha_dpo(0) is simpo": (make("alpha_dpo", alpha=0, beta=2, gamma=0.5), make("simpo")),
    "modpo(1) is dpo": (make("modpo", w0=1), make("dpo")),
    "madpo with a flat weight": (make("madpo", cmin=0.999999999, cmax=1.000000001), make("dpo")),
    "switch": (lambda: Interpolation(make_objective("sft"), make_objective("dpo"), 0.2, 0.2), make("dpo")),
}
MIXED_PO_TERMS = (("dpo", {}), ("bco_pair", {"beta": 0.1}), ("sft_mean", {}))


@pytest.mark.parametrize("name", EQUAL)
def test_equal(name):
    one, other = (make() for make in EQUAL[name])
    point = random_point(rows=8, seed=1)
    for got, expected in zip(value_and_slopes(one, point), value_and_slopes(other, point), strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-7, atol=1e-8)


def loss(id, point, **settings):
    return np.asarray(make_objective(id, **settings)(pair_at(point), 0.25))


def test_swapping_mirrors_members_without_imitation():
    """Identity (i): the loss of the swapped pair is -psi(-u)."""
    pair = pair_at(random_point())
    for id in member_ids():
        mirror = as_mirror(id)
        if type(mirror.g).__name__ == "Zero":
            expected = -mirror.psi(-mirror.preference(pair, 0.25), 0.25)
            np.testing.assert_allclose(make_objective(id)(swapped(pair), 0.25), expected, rtol=1e-9, atol=1e-12)


def test_exo_is_least_at_its_target():
    """Identity (iii)."""
    target = np.log(0.999 / 0.001)
    u = jnp.array([target - 0.5, target, target + 0.5])
    losses = make_objective("exo_pair").of_margin(u)
    np.testing.assert_allclose(losses[1], 0, atol=1e-12)
    assert losses[0] > 0 < losses[2]


def test_rewards_set_the_optimum():
    """Identities (iv) and (x), and D = eta m / beta."""
    point = random_point()
    start = point | {"chosen": point["ref_chosen"], "rejected": point["ref_rejected"]}
    _, by_chosen, _ = value_and_slopes(make_objective("mmpo"), start | {"margin": np.zeros(6)})
    np.testing.assert_allclose(by_chosen, 0, atol=1e-15)
    reached = start | {"chosen": start["chosen"] + start["margin"] / 0.2}
    for id in ("rpo_bwd_kl", "rpo_fwd_kl", "rpo_sq"):
        value, by_chosen, _ = value_and_slopes(make_objective(id), reached)
        np.testing.assert_allclose(value, 0, atol=1e-12)
        np.testing.assert_allclose(by_chosen, 0, atol=1e-9)
    label = 1 / (1 + np.exp(-point["margin"]))
    entropy = -label * np.log(label) - (1 - label) * np.log(1 - label)
    difference = loss("rpo_bwd_kl", point, beta=0.1) - loss("mmpo", point, beta=0.1)
    np.testing.assert_allclose(difference, -entropy, rtol=1e-9)


def test_vpo_is_rpo_sft_up_to_a_constant():
    """Identity (vi)."""
    point = random_point()
    difference = loss("vpo_offline", point) - loss("rpo_sft", point, beta=0.1, eta=0.01)
    np.testing.assert_allclose(difference, 0.01 * point["ref_chosen"])


def test_irpo_without_beta_is_imitation():
    """Identity (ix)."""
    point = random_point()
    _, *slopes = value_and_slopes(make_objective("irpo", beta=1e-12), point)
    _, *expected = value_and_slopes(make_objective("sft_mean"), point)
    np.testing.assert_allclose(slopes, expected, atol=1e-10)


def test_pmpo_without_kl_is_the_margin():
    """Identity (xi)."""
    point = random_point()
    expected = -(point["chosen"] - point["rejected"]) / 2
    np.testing.assert_allclose(loss("pmpo", point, kl=0), expected)


def test_tsallis_is_alphapo_without_reference():
    """Identity (xii)."""
    point = random_point()
    pair = pair_at(point)
    got = WithoutReference(make_objective("mpo_tsallis_ref", q=0.6, beta=1.5))(pair, 0.0)
    np.testing.assert_allclose(got, loss("alphapo", point, alpha=0.4, beta=0.6 * 1.5, gamma=0))


def test_batch_losses():
    point = random_point(rows=4)
    one = random_point(rows=1)
    for id in ("aot", "aot_unpaired", "relative_po", "rpo_diagonal"):
        beta = float(make_objective(id).beta)
        np.testing.assert_allclose(loss(id, one), loss("dpo", one, beta=beta), err_msg=id)
    plain, reference = point["chosen"] - point["rejected"], point["ref_chosen"] - point["ref_rejected"]
    expected = np.log1p(np.exp(-0.01 * (np.sort(plain) - np.sort(reference))))
    np.testing.assert_allclose(np.sort(loss("aot", point)), np.sort(expected))
    a, b = point["chosen"] - point["ref_chosen"], point["rejected"] - point["ref_rejected"]
    every = np.log1p(np.exp(-0.1 * (a[:, None] - b[None, :])))
    np.testing.assert_allclose(loss("relative_po", point), every.mean(1))
    own = np.diag(every)
    np.testing.assert_allclose(loss("rpo_diagonal", point), 0.8 * own + 0.2 * (every.sum(1) - own) / 3)


def test_kto_takes_its_anchors_from_the_minibatch():
    point = random_point(rows=4)
    a, b = point["chosen"] - point["ref_chosen"], point["rejected"] - point["ref_rejected"]
    zw, zl = max(0, b.mean()), max(0, a.mean())
    expected = 1 / (1 + np.exp(0.1 * (a - zw))) + 1 / (1 + np.exp(0.1 * (zl - b)))
    np.testing.assert_allclose(loss("kto", point), expected)


def test_discovered_siblings_on_a_batch():
    """Against the formulas of the official code, whose statistics are unbiased."""
    point = random_point(rows=5)
    v = point["chosen"] - point["ref_chosen"] - point["rejected"] + point["ref_rejected"]
    u = 0.05 * v

    def s(x):
        return 1 / (1 + np.exp(-x))

    logistic, hinge = np.log1p(np.exp(-u)), np.maximum(1 - u, 0)
    weight = s(-(v - (0.5 + 0.01 * (s(v.mean()) - 0.5))))
    np.testing.assert_allclose(loss("aql", point), weight * logistic + (1 - weight) * hinge)
    quantile = v.std(ddof=1) * s(-v).mean()
    quantile += 0.05 * (s(v.mean()) - quantile)
    weight = s(0.1 * np.abs(v - quantile))
    np.testing.assert_allclose(loss("aqfl", point), weight * logistic + (1 - weight) * hinge)
    weight = s(v.var(ddof=1))
    expected = weight * np.log1p(np.exp(-u / 0.9)) + (1 - weight) * np.exp(-0.9 * u)
    np.testing.assert_allclose(loss("dbaql", point), expected)


def test_weights_and_references():
    pair = pair_at(POINT_B)
    confident = Weighted(make_objective("dpo"), MarginConfidence(2.0))(pair, 0.0)
    np.testing.assert_allclose(confident, loss("dpo", POINT_B) / (1 + np.exp(-3)))
    joint = joint_reference(jnp.array([[-1.0], [-3.0]]), jnp.array([0.25, 0.75]))
    np.testing.assert_allclose(np.exp(joint), 1 / (0.25 / np.exp(-1) + 0.75 / np.exp(-3)))
    np.testing.assert_allclose(extrapolated_reference(jnp.array([-2.0]), jnp.array([-3.0]), 0.5), -1.5)
    with pytest.raises(ValueError, match="a sum of 1 objectives takes as many weights"):
        WeightedSum((make_objective("sft"),), jnp.array([1.0, 2.0]))


def test_no_gradient_through_weights():
    point = random_point()
    value, by_chosen, _ = value_and_slopes(make_objective("wpo_dpo"), point)
    base, base_by_chosen, _ = value_and_slopes(make_objective("dpo", beta=0.01), point)
    np.testing.assert_allclose(by_chosen, base_by_chosen * value / base)


def test_the_zoo_is_large():
    assert len(objective_ids()) >= 55
