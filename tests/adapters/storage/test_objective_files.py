"""Learned objectives as files: the same after a round trip, and one sentence for anything that is not one."""

import hashlib
import json

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy

from adapters.storage.objective_files import CARD_SEAL, read_objective, save_objective
from adapters.storage.objective_paths import CARD_NAME, TENSOR_NAME
from adapters.storage.sealed import write_sealed
from helpers.objective_points import pair_at, random_point
from helpers.objectives import canonical_text, is_path, learned_start, load_objective, sft_epochs_of
from mpo_core.losses.catalogue import make_objective
from mpo_core.losses.families.log_ratio import Dpo
from mpo_core.mirror.learned import split_learned
from mpo_experiments.objectives.saved import entry_of

INIT = canonical_text("tempo:beta=1.5")


@pytest.fixture(scope="module")
def learned():
    """A learned member with random parameters."""
    varied, common = split_learned(learned_start("tempo:beta=1.5", True))
    leaves, structure = jax.tree.flatten(varied)
    keys = jax.random.split(jax.random.key(0), len(leaves))
    drawn = [0.3 * jax.random.normal(key, leaf.shape) for key, leaf in zip(keys, leaves, strict=True)]
    return eqx.combine(jax.tree.unflatten(structure, drawn), common)


@pytest.fixture
def folder(tmp_path, learned):
    save_objective(tmp_path, learned, init=INIT, temporal=True, provenance={"task": "toy"})
    return tmp_path


def refusal(path) -> str:
    with pytest.raises(ValueError, match="objective file") as refused:
        load_objective(str(path))
    assert "\n" not in str(refused.value)
    return str(refused.value)


def change_card(folder, **changes):
    """As somebody would who knows of the card's own hash."""
    card = json.loads((folder / CARD_NAME).read_text())
    write_sealed(folder / CARD_NAME, card | changes, seal=CARD_SEAL)


def test_a_round_trip_changes_nothing(folder, learned, tmp_path):
    card, loaded = read_objective(folder)
    assert (card["init"], card["temporal"], card["provenance"]) == (INIT, True, {"task": "toy"})
    assert jax.tree.structure(loaded) == jax.tree.structure(learned)
    jax.tree.map(np.testing.assert_array_equal, loaded, learned)
    pair = pair_at(random_point())
    np.testing.assert_array_equal(loaded(pair, 0.3), learned(pair, 0.3))
    assert not np.allclose(loaded(pair, 0.3), make_objective("tempo", beta=1.5)(pair, 0.3))
    again = tmp_path / "again"
    save_objective(again, loaded, init=card["init"], temporal=True, provenance=card["provenance"])
    for name in (CARD_NAME, TENSOR_NAME):
        assert (again / name).read_bytes() == (folder / name).read_bytes()


def test_it_loads_from_its_folder_and_from_either_file(folder, learned):
    for path in (folder, folder / CARD_NAME, folder / TENSOR_NAME):
        assert is_path(str(path))
        jax.tree.map(np.testing.assert_array_equal, load_objective(str(path)), learned)


def test_a_search_may_start_from_it_if_it_sees_progress_alike(folder, learned):
    jax.tree.map(np.testing.assert_array_equal, learned_start(str(folder), True), learned)
    with pytest.raises(ValueError, match="was learned with --temporal"):
        learned_start(str(folder), False)


def test_a_start_outside_the_domain_of_a_setting_is_refused(folder):
    change_card(folder, init="tempo:beta=-1.5")
    assert refusal(folder).endswith("objective 'tempo': beta must be above 0 and at most 1000000, not -1.5")


@pytest.mark.parametrize("at", [9, 70, -1])
def test_one_flipped_bit_is_seen(folder, at):
    content = bytearray((folder / TENSOR_NAME).read_bytes())
    content[at] ^= 1
    (folder / TENSOR_NAME).write_bytes(content)
    assert "does not match the hash" in refusal(folder)


def test_missing_files_are_named(folder):
    (folder / TENSOR_NAME).unlink()
    assert "objective.safetensors: cannot be read (No such file" in refusal(folder)
    (folder / CARD_NAME).unlink()
    assert "objective.json: cannot be read (No such file" in refusal(folder)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("{", "is not JSON"),
        ("\0\1", "is not JSON"),
        ("[1, 2]", "holds no JSON object"),
        ('{"task": "halfcheetah"}', "is not an mpo objective"),
        ('{"format": "mpo-objective", "schema_version": 3}', "has schema version 3, this mpo reads 2"),
        ('{"format": "mpo-objective", "schema_version": 1}', "has schema version 1, this mpo reads 2"),
        ('{"format": "mpo-objective", "schema_version": 2, "init": 3}', "'init': input should be a valid string"),
        ('{"format": "mpo-objective", "schema_version": 2, "init": NaN}', "is not JSON"),
    ],
)
def test_foreign_files_are_refused(folder, content, says):
    (folder / CARD_NAME).write_text(content)
    assert says in refusal(folder / CARD_NAME)


def test_bytes_that_are_no_text_are_refused(folder):
    (folder / CARD_NAME).write_bytes(b"\xff\xfe\x00")
    assert "is not JSON" in refusal(folder)


def test_tensors_must_fit_the_structure(folder):
    change_card(folder, temporal=False)
    assert "do not fit an objective learned from" in refusal(folder)


def test_a_start_outside_the_class_is_refused(folder):
    change_card(folder, init="nosuch")
    with pytest.raises(ValueError, match="unknown objective 'nosuch'"):
        load_objective(str(folder))


@pytest.mark.parametrize("change", [{"init": "tempo:beta=3"}, {"temporal": False}, {"provenance": {}}])
def test_an_edited_card_is_refused(folder, change):
    card = json.loads((folder / CARD_NAME).read_text())
    (folder / CARD_NAME).write_text(json.dumps(card | change))
    assert "objective.json: does not match its own hash, so it is damaged or was edited" in refusal(folder)


def test_a_card_from_before_cards_had_a_hash_is_read(folder, learned):
    card = json.loads((folder / CARD_NAME).read_text())
    del card[CARD_SEAL]
    (folder / CARD_NAME).write_text(json.dumps(card))
    jax.tree.map(np.testing.assert_array_equal, load_objective(str(folder)), learned)


@pytest.mark.parametrize(("value", "says"), [(np.nan, "not finite"), (np.inf, "not finite")])
def test_numbers_must_be_finite(tmp_path, learned, value, says):
    varied, common = split_learned(learned)
    leaves, structure = jax.tree.flatten(varied)
    broken = eqx.combine(jax.tree.unflatten(structure, [leaves[0].at[0].set(value), *leaves[1:]]), common)
    save_objective(tmp_path, broken, init=INIT, temporal=True, provenance={})
    assert says in refusal(tmp_path)


def test_tensors_of_another_type_are_refused(folder):
    path = folder / TENSOR_NAME
    found = {name: leaf.astype(np.float16) for name, leaf in safetensors.numpy.load(path.read_bytes()).items()}
    path.write_bytes(safetensors.numpy.save(found))
    change_card(folder, sha256=hashlib.sha256(path.read_bytes()).hexdigest())
    assert "do not fit" in refusal(folder)


def test_epochs_of_sft_are_those_of_the_search(folder):
    assert sft_epochs_of("dpo", 12) == 10
    assert sft_epochs_of(str(folder), 12) == 0
    change_card(folder, provenance={"inner": {"sft_epochs": 3}})
    assert sft_epochs_of(str(folder), 12) == 3
    change_card(folder, provenance={"inner": {"sft_epochs": 1, "epochs": 3}})
    assert sft_epochs_of(str(folder), 12) == 4
    assert entry_of(str(folder), folder).sft_epochs == 4


def test_a_card_with_no_number_of_epochs_of_sft_is_refused_wherever_it_is_asked_for(folder):
    for bad in ({"sft_epochs": 13}, {"sft_epochs": "3"}, [1], {"sft_epochs": 13, "epochs": 12}, {"epochs": 0}):
        change_card(folder, provenance={"inner": bad})
        for ask in (lambda: sft_epochs_of(str(folder), 12), lambda: entry_of(str(folder), folder)):
            with pytest.raises(ValueError, match=f"{folder}: its card asks for .* epochs of SFT, of"):
                ask()


def test_canonical_text_spells_every_number_out():
    assert canonical_text("dpo") == "dpo:beta=0.1"
    assert canonical_text("tempo:beta=3") == canonical_text("tempo:beta=3.0,lam=1")
    for text in ("tempo", "orpo:lam=0.3", "sft"):
        assert canonical_text(canonical_text(text)) == canonical_text(text)
        pair = pair_at(random_point())
        np.testing.assert_allclose(
            load_objective(canonical_text(text))(pair, 0.4), load_objective(text)(pair, 0.4), rtol=1e-6
        )


def test_ids_are_no_paths():
    assert not any(map(is_path, ("dpo", "tempo:beta=0.5", "nosuch")))
    assert all(map(is_path, ("runs/x", "my.json", "objective.safetensors")))
    found = load_objective("dpo:beta=0.25")
    assert isinstance(found, Dpo)
    np.testing.assert_allclose(found.beta, jnp.float32(0.25))


def test_a_folder_does_not_hide_an_objective_of_its_name(tmp_path, monkeypatch):
    (tmp_path / "tempo").mkdir()
    (tmp_path / "mine").mkdir()
    monkeypatch.chdir(tmp_path)
    assert not is_path("tempo")
    assert not is_path("tempo:beta=3")
    assert is_path("mine")
