import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mpo_core.data.labels import label
from mpo_core.data.pair_bank import draw_rows, label_pairs
from mpo_core.data.specification import parse_data_spec

PAIRS = 4000
NOBODY, LENGTHS = jnp.zeros((PAIRS, 2), int), jnp.ones((PAIRS, 2))


def pairs_of(difference):
    return jnp.stack([jnp.zeros(PAIRS), jnp.full(PAIRS, difference)], axis=1)


def labelled(data, returns, *, seed, length=LENGTHS):
    return label(parse_data_spec(data), returns, length, NOBODY, key=jax.random.key(seed))


def test_temperature_zero_always_picks_the_better_one():
    returns = jax.random.normal(jax.random.key(0), (PAIRS, 2))
    verdict = labelled("base", returns, seed=1)
    np.testing.assert_array_equal(verdict.second_wins, returns[:, 1] > returns[:, 0])
    assert not verdict.flipped.any()


def test_ties_are_drawn_by_lot():
    share = labelled("base", jnp.zeros((PAIRS, 2)), seed=1).second_wins.mean()
    assert abs(share - 0.5) < 0.03


@pytest.mark.parametrize(("difference", "temperature"), [(1.0, 1.0), (-2.0, 4.0), (30.0, 10.0)])
def test_bradley_terry_probability(difference, temperature):
    verdict = labelled(f"judge:{temperature}", pairs_of(difference), seed=3)
    expected = 1 / (1 + np.exp(-difference / temperature))
    assert abs(verdict.second_wins.mean() - expected) < 4 * np.sqrt(expected * (1 - expected) / PAIRS)


def test_noise_flips_its_share_of_labels():
    verdict = labelled("noisy:0.2", pairs_of(5.0), seed=4)
    assert abs(verdict.flipped.mean() - 0.2) < 0.03
    np.testing.assert_array_equal(verdict.second_wins, ~verdict.flipped)


def test_rows_are_labelled_whole(toy_bank):
    spec = parse_data_spec("mixed:0.5+noisy:0.3")
    rows = label_pairs(jax.tree.map(jnp.asarray, toy_bank), spec, key=jax.random.key(5))
    true_difference = rows.return_[:, 0] - rows.return_[:, 1]
    assert 0 < rows.flipped.sum() < len(rows.flipped)
    assert (true_difference[rows.flipped] < 0).all()
    assert (true_difference[~rows.flipped] > 0).all()
    assert (rows.margin >= 0).all()  # as the label has it, flipped or not
    np.testing.assert_allclose(
        rows.margin, jnp.abs(true_difference) / jnp.sqrt(jnp.mean(true_difference**2)), rtol=1e-5
    )
    # observations, actions and returns move together
    for i in range(len(rows.flipped)):
        side = int(toy_bank.return_[i, 1] == rows.return_[i, 0])
        np.testing.assert_array_equal(rows.action[i, 0], toy_bank.action[i, side])
        assert rows.source[i, 0] == toy_bank.source[i, side]


def test_both_trajectories_start_in_the_same_state_and_differ(toy_bank):
    np.testing.assert_array_equal(toy_bank.observation[:, 0, 0], toy_bank.observation[:, 1, 0])
    assert (toy_bank.action[:, 0, 0] != toy_bank.action[:, 1, 0]).all()
    starts = toy_bank.observation[:, 0, 0, 0]
    assert len(np.unique(starts)) == len(starts)


def test_drawn_rows_keep_the_shares(toy_bank):
    bank = jax.tree.map(jnp.asarray, toy_bank)
    spec = parse_data_spec("mixed:0.5")
    rows = draw_rows(bank, spec, 8, key=jax.random.key(6))
    assert int((rows.source.sum(1) == 0).sum()) == 4
    other = draw_rows(bank, spec, 8, key=jax.random.key(7))
    assert not np.array_equal(rows.return_, other.return_)
    with pytest.raises(ValueError, match="cannot give"):
        draw_rows(bank, spec, 64, key=jax.random.key(6))
