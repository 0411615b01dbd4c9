"""Every data fault: its domain, what it does to labels or pairs, and that faults do not disturb each other."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from helpers.toy_task import TOY_HORIZON, toy_policy
from mpo_core.data.fault import KINDS, NumberFault
from mpo_core.data.fault_registry import FAULTS
from mpo_core.data.generate_pairs import generate_pairs, stack_agents
from mpo_core.data.labels import label
from mpo_core.data.pair_bank import draw_rows, label_pairs
from mpo_core.data.rows import OTHER
from mpo_core.data.specification import parse_data_spec
from mpo_core.settings import RowSettings, UnusableSetting
from mpo_core.training.learners import prepared_units

ROWS = 4000
KEY = jax.random.key(11)
NUMBERS = (-1.0, 0.0, 0.5, 1.0, 1.2, 1e-30, 1e30, 1e308, float("inf"), float("nan"))
RETURNS = jax.random.normal(jax.random.key(0), (ROWS, 2)) * 40
LENGTHS = jax.random.randint(jax.random.key(1), (ROWS, 2), 1, 5).astype(float)
SOURCE = jnp.zeros((ROWS, 2), int)


def labelled(data, returns=RETURNS, lengths=LENGTHS):
    return label(parse_data_spec(data), returns, lengths, SOURCE, key=KEY)


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("name", [name for name, fault in FAULTS.items() if issubclass(fault, NumberFault)])
def test_a_number_is_refused_or_works(name, number):
    fault, text = FAULTS[name], f"{name}:{number!r}"
    if not fault.low <= number <= fault.high:
        with pytest.raises(ValueError, match=f"'{name}' takes {fault.what} between 0 and") as refusal:
            parse_data_spec(text)
        assert "\n" not in str(refusal.value)
        with pytest.raises(ValueError, match=f"'{name}' takes"):
            fault(number)
        return
    spec = parse_data_spec(text)
    assert parse_data_spec(str(spec)) == spec
    assert hash(parse_data_spec(str(spec))) == hash(spec)
    assert sum(spec.kind_counts(64)) == 64
    verdict = labelled(text)
    assert 0.4 < verdict.second_wins.mean() < 0.6  # sides are alike here, whatever is done to labels
    assert 0 <= verdict.flipped.mean() <= 1


@pytest.mark.parametrize("fault", FAULTS.values())
def test_every_fault_says_what_it_is(fault):
    assert fault.form.partition(":")[0] == fault.name
    assert "\n" not in fault.description
    if issubclass(fault, NumberFault):
        assert f"{fault.low:g} <=" in fault.description


def test_judge_and_noisy_label_as_they_did_before_there_were_others():
    spec = "noisy:0.2+judge:5"
    judge_key, noise_key = jax.random.split(KEY)
    difference = RETURNS[:, 1] - RETURNS[:, 0]
    uniform = jax.random.uniform(judge_key, difference.shape, minval=1e-7, maxval=1.0 - 1e-7)
    said = difference > 5 * (jnp.log(uniform) - jnp.log1p(-uniform))
    flipped = jax.random.uniform(noise_key, difference.shape) < 0.2
    verdict = labelled(spec)
    np.testing.assert_array_equal(verdict.second_wins, said ^ flipped)
    np.testing.assert_array_equal(verdict.flipped, flipped)


def test_noisy_close_flips_the_closer_the_likelier():
    difference = jnp.abs(RETURNS[:, 1] - RETURNS[:, 0])
    margin = np.asarray(difference / jnp.sqrt(jnp.mean(difference**2)))
    flipped = np.asarray(labelled("noisy_close:0.5").flipped)
    for low, high in ((0.0, 0.3), (0.3, 0.8), (0.8, 1.5), (1.5, 9.0)):
        some = (margin >= low) & (margin < high)
        expected = (0.5 * np.exp(-margin[some])).mean()
        assert abs(flipped[some].mean() - expected) < 4 * np.sqrt(expected / some.sum())
    ties = labelled("noisy_close:0.5", jnp.ones((ROWS, 2)))  # every margin is 0
    assert abs(ties.flipped.mean() - 0.5) < 0.03


def test_noisy_long_prefers_the_longer_with_its_probability():
    verdict = labelled("noisy_long:0.3")
    first, second = np.asarray(LENGTHS).T
    said = np.asarray(labelled("base").second_wins)
    against = (said & (second < first)) | (~said & (first < second))
    flipped = np.asarray(verdict.flipped)
    assert not flipped[~against].any()  # of one length, or preferred already
    assert abs(flipped[against].mean() - 0.3) < 0.05
    assert labelled("noisy_long:1").second_wins[second > first].all()
    assert not labelled("noisy_long:1", lengths=jnp.ones((ROWS, 2))).flipped.any()


def test_faults_draw_their_own_lots_and_may_stand_in_any_order():
    alone = [labelled(term).flipped for term in ("noisy:0.3", "noisy_close:0.4")]
    both = labelled("noisy_close:0.4+noisy:0.3")
    np.testing.assert_array_equal(both.flipped, alone[0] ^ alone[1])
    assert abs((alone[0] & alone[1]).mean() - alone[0].mean() * alone[1].mean()) < 0.02
    orders = ("noisy:0.3+judge:9+mixed:0.5+noisy_long:0.1", "noisy_long:0.10+mixed:.5+judge:9.0+noisy:.3")
    first, second = map(parse_data_spec, orders)
    assert (first, hash(first), str(first)) == (second, hash(second), "mixed:0.5+noisy:0.3+noisy_long:0.1+judge:9")


def test_labels_run_inside_a_program_and_for_a_batch_of_datasets():
    spec = parse_data_spec("mixed:0.5+noisy_close:0.5+noisy_long:0.2+judge:3")
    whole = jax.jit(lambda returns: label(spec, returns, LENGTHS, SOURCE, key=KEY))(RETURNS)
    np.testing.assert_array_equal(whole.second_wins, label(spec, RETURNS, LENGTHS, SOURCE, key=KEY).second_wins)
    batch = jax.vmap(lambda scale: label(spec, scale * RETURNS, LENGTHS, SOURCE, key=KEY).flipped)(jnp.array([1.0, 8]))
    assert batch.shape == (2, ROWS)


@pytest.mark.parametrize("text", ["mixed_other:0.2+mixed:0.5", "mixed_other:0.2+pairs:oo=1", "judge:2+judge:3"])
def test_what_only_one_term_may_set_is_set_once(text):
    with pytest.raises(ValueError, match="more than one term sets the"):
        parse_data_spec(text)


@pytest.fixture(scope="module")
def three_agents(toy_agents):
    own, target = (jax.tree.map(lambda leaf, at=at: leaf[at], toy_agents) for at in range(2))
    return stack_agents(own, target, toy_policy(jax.random.key(9), 0.05))


def test_poor_rows_of_mixed_other_are_the_other_agents(toy_program, three_agents, toy_original):
    spec = parse_data_spec("mixed_other:0.25")
    assert spec.roles == ("original", "target", "other")
    assert dict(zip(KINDS, spec.kind_counts(16), strict=True)) == dict.fromkeys(KINDS, 0) | {(0, 1): 12, (2, 2): 4}
    bank = generate_pairs(toy_program, three_agents, spec, RowSettings(16, TOY_HORIZON), key=jax.random.key(1))
    rows = draw_rows(jax.tree.map(jnp.asarray, bank), spec, 8, key=jax.random.key(2))
    others = np.asarray(rows.source == OTHER)
    assert others.all(1).sum() == 2
    assert others.any(1).sum() == 2
    group = np.asarray(prepared_units(toy_original, jax.tree.map(lambda leaf: leaf[None], rows)).facts.group[0])
    np.testing.assert_array_equal(group, np.where(others.all(1), 0, 1))  # groups count target trajectories


def test_data_without_the_other_agent_do_not_depend_on_it(toy_program, three_agents, toy_agents):
    spec, size = parse_data_spec("mixed:0.5"), RowSettings(4, TOY_HORIZON)
    both = [generate_pairs(toy_program, agents, spec, size, key=KEY) for agents in (toy_agents, three_agents)]
    jax.tree.map(np.testing.assert_array_equal, *both)
    labels = [label_pairs(bank, spec, key=KEY) for bank in both]
    jax.tree.map(np.testing.assert_array_equal, *labels)


def test_data_that_ask_for_a_missing_agent_are_refused(toy_program, toy_agents):
    spec = parse_data_spec("mixed_other:0.5")
    with pytest.raises(UnusableSetting, match="need an agent of role 'other'"):
        generate_pairs(toy_program, toy_agents, spec, RowSettings(4, TOY_HORIZON), key=KEY)


@pytest.mark.parametrize("fault", FAULTS.values())
def test_the_docs_show_every_fault(fault):
    page = (Path(__file__).parents[3] / "docs" / "data.md").read_text()
    assert f"| `{fault.form}` |" in page


@pytest.mark.parametrize(("count", "length"), [(10**6, 10**6), (10**7, 1), (1, 10)])
def test_absurd_sizes_are_refused_before_any_work(count, length):
    with pytest.raises(ValueError, match="rows: "):
        RowSettings(count, length)
