"""Identities among the hand-written objectives: what one becomes at an end of a setting, what another is made of."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from helpers.objective_points import pair_at, random_point, value_and_slopes
from mpo_core.losses.catalogue import make_objective, objective_ids
from mpo_core.losses.members import as_mirror, member_ids
from mpo_core.objective.pair_log_probs import PairLogProbs
from mpo_core.objective.stable import ramp


@pytest.fixture(autouse=True)
def _float64():
    with jax.enable_x64(True):
        yield


def make(id, **settings):
    return lambda: make_objective(id, **settings)


def swapped(pair):
    """The pair as a judge with the opposite verdict would have it."""
    return PairLogProbs(
        pair.rejected, pair.chosen, pair.ref_rejected, pair.ref_chosen, pair.rejected_length, pair.chosen_length,
        -pair.margin,
    )  # fmt: skip


def per_token(pair):
    """The pair with mean token log-probs in the place of sums, and all lengths 1."""
    ref_chosen, ref_rejected = pair.ref_chosen / pair.chosen_length, pair.ref_rejected / pair.rejected_length
    one = jnp.ones_like(pair.chosen)
    return PairLogProbs(pair.chosen_mean, pair.rejected_mean, ref_chosen, ref_rejected, one, one, pair.margin)


def without_reference(pair):
    """The pair under a reference that is the same for everything."""
    nothing = jnp.zeros_like(pair.chosen)
    return eqx.tree_at(lambda p: (p.ref_chosen, p.ref_rejected), pair, (nothing, nothing))


def of(pair_to, id, **settings):
    """An objective of a pair that was changed before."""
    return lambda: lambda pair, progress: make_objective(id, **settings)(pair_to(pair), progress)


def label_noise_of_dpo(debiased=False):
    """(1 - e) f(pair) + e f(swapped pair); debiased: ((1 - e) f(pair) - e f(swapped)) / (1 - 2 e), e = 0.1."""
    loss = make_objective("dpo")
    if debiased:
        return lambda pair, progress: (0.9 * loss(pair, progress) - 0.1 * loss(swapped(pair), progress)) / 0.8
    return lambda pair, progress: 0.9 * loss(pair, progress) + 0.1 * loss(swapped(pair), progress)


def total(*terms):
    """A weighted sum of objectives, each a weight and what `make` returns."""
    return lambda: lambda pair, progress: sum(weight * made()(pair, progress) for weight, made in terms)


def wpo():
    def loss(pair, progress):
        weight = jnp.minimum(jnp.exp(pair.chosen_mean + pair.rejected_mean), 1)
        return jax.lax.stop_gradient(weight) * make_objective("dpo", beta=0.01)(pair, progress)

    return loss


def faded():
    def loss(pair, progress):
        share = ramp(progress, 0.0, 1.0)
        imitation, preference = make_objective("sft_mean"), make_objective("simpo", gamma=0)
        return (1 - share) * imitation(pair, progress) + share * preference(pair, progress)

    return loss


EQUAL = {
    "cdpo is dpo under label noise": (make("cdpo"), label_noise_of_dpo),
    "robust_dpo undoes label noise": (make("robust_dpo"), lambda: label_noise_of_dpo(debiased=True)),
    "robust_dpo(0) is dpo": (make("robust_dpo", epsilon=0), make("dpo")),
    "cdpo(0) is dpo": (make("cdpo", epsilon=0), make("dpo")),
    "wpo": (make("wpo_dpo"), wpo),
    "irpo": (make("irpo"), total((1, make("dpo")), (1, make("sft_mean")))),
    "rpo_sft": (make("rpo_sft"), total((1, make("dpo", beta=0.01)), (0.005, make("sft")))),
    "cpo": (make("cpo"), total((1, of(without_reference, "dpo")), (1, make("sft")))),
    "dpo_norm": (make("dpo_norm"), of(per_token, "dpo", beta=5)),
    "ipo_mean": (make("ipo_mean"), of(per_token, "ipo")),
    "simpo": (make("simpo", gamma=0), of(lambda pair: per_token(without_reference(pair)), "dpo", beta=2)),
    "tempo": (make("tempo"), faded),
    "mixed_po": (make("mixed_po"), total((0.8, make("dpo")), (0.2, make("bco_pair", beta=0.1)), (1, make("sft_mean")))),
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
        make("pro_pair", temperature=1), total((1, make("simpo", beta=1, gamma=0)), (0.05, make("sft"))),
    ),
    "alpha_dpo(0) is simpo": (make("alpha_dpo", alpha=0, beta=2, gamma=0.5), make("simpo")),
    "modpo(1) is dpo": (make("modpo", w0=1), make("dpo")),
    "tempo as a switch": (make("tempo", t0=0.2, t1=0.2), make("simpo", gamma=0)),
}  # fmt: skip


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


def test_madpo_with_a_flat_weight_is_dpo():
    point = random_point()
    flat = loss("madpo", point, cmin=0.9999999, cmax=1)
    np.testing.assert_allclose(flat, loss("dpo", point), rtol=1e-6)


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
    got = make_objective("mpo_tsallis_ref", q=0.6, beta=1.5)(without_reference(pair), 0.0)
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


def test_siblings_of_discopop_on_a_batch():
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


def test_no_gradient_through_weights():
    point = random_point()
    value, by_chosen, _ = value_and_slopes(make_objective("wpo_dpo"), point)
    base, base_by_chosen, _ = value_and_slopes(make_objective("dpo", beta=0.01), point)
    np.testing.assert_allclose(by_chosen, base_by_chosen * value / base)


def test_the_zoo_is_large():
    assert len(objective_ids()) >= 55
