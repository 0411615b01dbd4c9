"""The frame of a search as its data show it: two heaps of log-probs, or one."""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mpo_core.data.pair_bank import label_pairs
from mpo_core.data.specification import parse_data_spec
from mpo_core.mirror.monotone_network import Frame
from mpo_experiments.datasets.description import token_log_probs
from mpo_experiments.objectives.frames import LEAST_WIDTH, frame_of, frame_of_data, heaps
from mpo_experiments.settings.search_settings import SearchSettings

SAVED = Path(__file__).parent / "halfcheetah_means.json"


def drawn(*parts, seed=0):
    """Numbers from normal densities: (how many, mean, deviation) each."""
    rng = np.random.default_rng(seed)
    return rng.permutation(np.concatenate([rng.normal(mean, deviation, count) for count, mean, deviation in parts]))


@pytest.mark.parametrize(
    ("parts", "own", "wanted"),
    [
        (((100, -3.0, 0.02), (100, -4.1, 0.2)), -3.0, -4.1),
        (((175, -3.0, 0.02), (25, -4.1, 0.3)), -3.0, -4.1),  # mixed:0.75: an eighth is the target's
        (((100, -2.4, 0.05), (100, -2.9, 0.05)), -2.4, -2.9),
        (((190, -3.0, 0.05), (10, -4.0, 0.05)), -3.0, -4.0),
    ],
)
@pytest.mark.parametrize("seed", range(3))
def test_two_heaps_are_own_and_wanted(parts, own, wanted, seed):
    found = heaps(drawn(*parts, seed=seed))
    assert found == pytest.approx((own, wanted), abs=0.15)


@pytest.mark.parametrize("seed", range(3))
def test_one_heap_has_the_least_width(seed):
    rng = np.random.default_rng(seed)
    for means in (
        drawn((200, -3.0, 0.05), seed=seed),
        -3 - rng.gamma(3.0, 0.1, 200),
        -3 - rng.exponential(0.3, 200),
        drawn((196, -3.0, 0.05), (4, -9.0, 0.1), seed=seed),  # some physics that has blown up
        np.full(200, -3.0),
        np.array([-3.0, -4.0]),
    ):
        frame = frame_of_data([means])
        assert frame.width == LEAST_WIDTH
        assert frame.centre == pytest.approx(np.median(means))


def test_numbers_that_are_none_are_left_out_and_nothing_else_is_refused():
    means = drawn((100, -3.0, 0.02), (100, -4.1, 0.2))
    assert heaps(np.concatenate([means, [np.nan, -np.inf]])) == heaps(means)
    with pytest.raises(ValueError, match="no trajectory with a finite log-prob"):
        heaps(np.full(3, np.nan))


def test_several_datasets_have_the_mean_frame():
    near, far = drawn((50, -2.0, 0.01), (50, -3.0, 0.01)), drawn((50, -4.0, 0.01), (50, -7.0, 0.01))
    frame = frame_of_data([near, far])
    assert (frame.centre, frame.width) == pytest.approx((-3.0, 2.0), abs=0.02)


def test_toy_data_show_who_made_them(toy_bank, toy_original):
    spec = parse_data_spec("mixed:0.5")
    rows = label_pairs(jax.tree.map(jnp.asarray, toy_bank), spec, key=jax.random.key(0))
    means = token_log_probs(rows, toy_original)
    own, target = (float(means[np.asarray(rows.source) == role].mean()) for role in (0, 1))
    assert own > target
    alike = (own, own) if own - target < 0.2 else (own, target)
    assert heaps(means.reshape(-1)) == pytest.approx(alike, abs=0.15)


def test_real_data_show_the_frame_of_the_card():
    """64 rows of halfcheetah, mixed:0.75, length 200: `mpo data describe` made them, `token_log_probs` read them."""
    saved = json.loads(SAVED.read_text())
    found, card = frame_of_data([np.array(saved["means"])]), frame_of(["halfcheetah"])
    assert isinstance(found, Frame)
    assert found.centre == pytest.approx(card.centre, abs=0.05)
    assert found.width == pytest.approx(card.width, abs=0.15)


def test_a_search_takes_its_frame_from_the_card_or_the_data():
    assert SearchSettings().frame == "card"
    assert SearchSettings(frame="data").frame == "data"
    with pytest.raises(ValueError, match=r"unknown search.frame 'dat': did you mean 'data'"):
        SearchSettings(frame="dat")
