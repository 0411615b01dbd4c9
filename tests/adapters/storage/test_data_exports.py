"""Datasets for others' tools, on the toy task: what npz, Parquet and Minari hold, and what is refused."""

import importlib.util
import json

import datasets
import jax
import minari
import numpy as np
import pyarrow.parquet as pq
import pytest

from adapters.storage.dataset_exports import (
    export_minari,
    export_npz,
    export_parquet,
    minari_id,
    minari_root,
    parquet_card,
    parquet_table,
)
from adapters.storage.dataset_files import DatasetRecipe, card_json, load_dataset
from helpers.command_line import assert_refused, invoke
from helpers.toy_task import toy_policy
from helpers.trajectories import SIDES, assert_same_trajectories
from mpo_core.data.generate_pairs import stack_agents
from mpo_experiments.datasets.build import Rollouts, build_dataset
from mpo_experiments.progress import SilentReporter

AGENTS = ("original", "target")
ROWS, LENGTH = 70, 60
RECIPE = DatasetRecipe(
    task="toy", backend="none", data="mixed:0.5+noisy:0.2", rows=ROWS, length=LENGTH, seed=0, bin_width=0.1,
    agents_sha256="0" * 64, simulation={"jax": jax.__version__}, recipe_sha256="cd" * 32,
)  # fmt: skip


@pytest.fixture(scope="module")
def built(tmp_path_factory, toy_program, toy_original):
    """The target agent runs out of bounds, so that its episodes end early."""
    agents = stack_agents(toy_original, toy_policy(jax.random.key(7), 5.0))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "mpo_experiments.datasets.build.rollouts_of", lambda recipe: Rollouts(toy_program, agents, toy_original)
        )
        return build_dataset(RECIPE, tmp_path_factory.mktemp("data"), SilentReporter())


@pytest.fixture(scope="module")
def data(built):
    assert len(np.unique(built.dataset.steps)) > 2
    return built.dataset


def test_npz_has_its_card_beside_it_and_loads(data, tmp_path):
    export_npz(data, tmp_path / "toy.npz")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["toy.json", "toy.npz"]
    loaded = load_dataset(tmp_path / "toy.npz")
    assert loaded.card == data.card
    with np.load(tmp_path / "toy.npz", allow_pickle=False) as arrays:
        np.testing.assert_array_equal(arrays["reward"], data.reward)


def test_parquet_loads_with_hugging_face_datasets(data, tmp_path):
    path = tmp_path / "toy.parquet"
    export_parquet(data, path)
    found = datasets.load_dataset("parquet", data_files=str(path), split="train", cache_dir=str(tmp_path / "hf"))
    assert isinstance(found, datasets.Dataset)
    assert found.num_rows == ROWS
    rows = list(found)
    assert_same_trajectories(
        data, lambda row, side: [rows[row][f"{side}_{what}"] for what in ("observation", "action", "reward")]
    )
    for at, side in enumerate(SIDES):
        np.testing.assert_array_equal(np.float32(found[f"{side}_return"][:]), data.rows.return_[:, at])
        assert list(found[f"{side}_source"]) == [AGENTS[agent] for agent in data.rows.source[:, at]]
    np.testing.assert_array_equal(np.float32(found["margin"][:]), data.rows.margin)
    np.testing.assert_array_equal(found["flipped"][:], data.rows.flipped)
    assert list(found["row"]) == list(range(ROWS))


def test_parquet_carries_the_card_and_repeats(data, tmp_path):
    for name in ("a", "b"):
        export_parquet(data, tmp_path / f"{name}.parquet")
    assert parquet_card(tmp_path / "a.parquet") == card_json(data.card)
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()
    assert pq.ParquetFile(tmp_path / "a.parquet").num_row_groups == 2
    foreign = tmp_path / "foreign.parquet"
    pq.write_table(parquet_table(data).replace_schema_metadata({}), foreign)
    with pytest.raises(ValueError, match="was not written by `mpo data export`"):
        parquet_card(foreign)


def test_minari_loads_one_episode_a_trajectory(data, tmp_path, monkeypatch):
    folder = export_minari(data, tmp_path)
    assert folder == tmp_path / "mpo" / "toy-mixed0p5_noisy0p2-rows70-length60-v0"
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    assert list(minari.list_local_datasets()) == [minari_id(RECIPE)]
    found = minari.load_dataset(minari_id(RECIPE))
    assert (found.total_episodes, found.total_steps) == (2 * ROWS, data.steps.sum())

    def trajectory(row, side):
        episode = found[2 * row + SIDES.index(side)]
        np.testing.assert_array_equal(episode.observations[-1], episode.observations[-2])
        return episode.observations[:-1], episode.actions, episode.rewards

    assert_same_trajectories(data, trajectory)
    assert found.storage.metadata["mpo_card"] == card_json(data.card)
    description = found.storage.metadata["description"]
    assert "The observation after the last step was not recorded: the last one is repeated" in description
    assert data.card.command in description


def test_minari_episodes_say_what_they_are(data, tmp_path, monkeypatch):
    export_minari(data, tmp_path)
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    found = minari.load_dataset(minari_id(RECIPE))
    labels = list(found.storage.get_episode_metadata(range(2 * ROWS)))
    for number, (label, episode) in enumerate(zip(labels, found, strict=True)):
        row, side = divmod(number, 2)
        steps, source = data.steps[row, side], data.rows.source[row, side]
        assert (label["row"], label["side"], label["source"]) == (row, SIDES[side], AGENTS[source])
        assert label["flipped"] == data.rows.flipped[row]
        assert (np.float32(label["margin"]), np.float32(label["return"])) == (
            data.rows.margin[row],
            data.rows.return_[row, side],
        )
        told = (row, side == 0, source == 1, data.rows.flipped[row], data.rows.margin[row])
        for name, value in zip(("row", "chosen", "from_target", "flipped", "margin"), told, strict=True):
            np.testing.assert_array_equal(episode.infos[name], np.full(steps + 1, value))
        ended = np.arange(steps) == steps - 1
        np.testing.assert_array_equal(episode.terminations, ended & (steps < LENGTH))
        np.testing.assert_array_equal(episode.truncations, ended & (steps == LENGTH))
    chosen = found.filter_episodes(lambda episode: bool(episode.infos["chosen"][0]))
    assert chosen.total_episodes == ROWS


def test_minari_goes_where_minari_looks(data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MINARI_DATASETS_PATH", "relative")
    assert minari_root(None) == tmp_path / "relative"
    export_minari(data, None)
    assert minari.load_dataset(minari_id(RECIPE)).total_episodes == 2 * ROWS
    monkeypatch.delenv("MINARI_DATASETS_PATH")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert minari_root(None) == tmp_path / ".minari" / "datasets"


def test_an_interrupted_minari_export_leaves_nothing(data, tmp_path, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("adapters.storage.dataset_exports._minari_description", interrupt)
    with pytest.raises(KeyboardInterrupt):
        export_minari(data, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"rows": 1280, "length": 1000}, "toy-mixed0p5_noisy0p2-v0"),
        ({"rows": 1280, "seed": 7}, "toy-mixed0p5_noisy0p2-length60-seed7-v0"),
        ({"rows": 1280, "length": 1000, "data": "pairs:oo=0.5,ot=0.25,tt=0.25"}, "toy-pairsoo0p5_ot0p25_tt0p25-v0"),
        ({"rows": 1280, "length": 1000, "data": "judge:1e+06"}, "toy-judge1e_06-v0"),
    ],
)
def test_names_that_minari_takes(change, name):
    from minari.dataset.minari_dataset import parse_dataset_id

    found = minari_id(RECIPE.model_copy(update=change))
    assert found == f"mpo/{name}"
    assert parse_dataset_id(found) == ("mpo", name.removesuffix("-v0"), 0)


# -- the command line -------------------------------------------------------------------------------------------------


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.setenv("MPO_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.delenv("MINARI_DATASETS_PATH", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("format", "out", "says"),
    [
        ("npz", "toy.npz", 'Read it      numpy.load("toy.npz"), with its card in toy.json\n'),
        ("parquet", "toy.parquet", 'datasets.load_dataset("parquet", data_files="toy.parquet", split="train")'),
        ("minari", "there", f'minari.load_dataset("{minari_id(RECIPE)}")'),
    ],
)
def test_export_says_how_to_read_it(built, here, format, out, says):
    found = invoke("data", "export", "--dataset", built.folder, "--format", format, "--out", out)
    assert found.exit_code == 0, found.stderr
    assert says in found.stdout
    assert (here / out).exists()
    assert not (here / "cache").exists()


def test_a_minari_dataset_is_not_written_over(built, here):
    there = ("data", "export", "--dataset", built.folder, "--format", "minari", "--out", "there")
    assert invoke(*there).exit_code == 0
    again = invoke(*there)
    assert_refused(again.exit_code, again.stdout, again.stderr, "already: delete it, or name another folder by --out")


@pytest.mark.parametrize(
    ("format", "missing", "says"),
    [
        ("parquet", ("pyarrow",), '--format parquet needs pyarrow: pip install "mirror-po[data]"'),
        ("minari", ("minari", "h5py"), '--format minari needs minari and h5py: pip install "mirror-po[data]"'),
    ],
)
def test_a_missing_extra_is_named(built, here, monkeypatch, format, missing, says):
    real = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name, *_: None if name in missing else real(name, *_))
    found = invoke("data", "export", "--dataset", built.folder, "--format", format, "--out", f"x.{format}")
    assert_refused(found.exit_code, found.stdout, found.stderr, says)
    assert list(here.iterdir()) == []


def test_a_damaged_dataset_is_not_exported(built, here):
    folder = here / "mine"
    folder.mkdir()
    for path in built.folder.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    (folder / "rows.npz").write_bytes(json.dumps({"not": "ours"}).encode())
    found = invoke("data", "export", "--dataset", folder, "--format", "npz", "--out", "x.npz")
    assert_refused(found.exit_code, found.stdout, found.stderr, "does not match the hash in card.json")
    assert list(here.iterdir()) == [folder]
