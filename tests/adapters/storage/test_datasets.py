"""Preference datasets on disk: what is in them, how they are cached and resumed, what is refused. On the toy task."""

import dataclasses
import fcntl
import hashlib
import importlib.metadata
import io
import json
import os
import shutil
import signal
import zipfile

import jax
import numpy as np
import pytest

from adapters.storage.dataset_files import CARD_FILE, ROWS_FILE, DatasetRecipe, card_hash, load_dataset, npz_bytes
from helpers.command_line import assert_refused, invoke
from helpers.toy_task import toy_policy
from mpo_core.data.generate_pairs import generate_pairs, stack_agents
from mpo_core.data.pair_bank import label_pairs
from mpo_core.data.specification import parse_data_spec
from mpo_core.rollout.program import RolloutProgram
from mpo_core.seeds import Purpose, Stream, stream_key
from mpo_core.settings import RowSettings, UnusableSetting
from mpo_core.training.learners import row_log_probs
from mpo_experiments.agents.lookup import agents_folder
from mpo_experiments.datasets.build import PART_ROWS, Rollouts, build_dataset, dataset_recipe
from mpo_experiments.datasets.description import overlap
from mpo_experiments.progress import SilentReporter

ROWS, LENGTH, SEED = 2 * PART_ROWS + 10, 60, 3
DATA = "mixed:0.5+noisy:0.1"
RECIPE = DatasetRecipe(
    task="toy", backend="none", data=DATA, rows=ROWS, length=LENGTH, seed=SEED, bin_width=0.1,
    agents_sha256="0" * 64, simulation={"jax": jax.__version__}, recipe_sha256="ab" * 32,
)  # fmt: skip
SMALL = ("--task", "hopper", "--data", DATA, "--rows", "80", "--length", "10")


class CountingProgram(RolloutProgram):
    """The toy's program; counts blocks, fails at one of them if told to, or spoils them."""

    def __init__(self, program):
        vars(self).update(vars(program))  # compiled already
        self.blocks_done, self.fails_at, self.failure, self.spoil = 0, None, None, lambda block: block

    def blocks(self, *arguments, **settings):
        for block in super().blocks(*arguments, **settings):
            if self.blocks_done == self.fails_at:
                self.failure()
            self.blocks_done += 1
            yield self.spoil(block)


class Notes(SilentReporter):
    def __init__(self):
        self.said = []

    def note(self, text):
        self.said.append(text)


def interrupt():
    raise KeyboardInterrupt


@pytest.fixture(scope="module")
def runaway_agents(toy_original):
    """The idle agent, and one that runs out of bounds, which ends an episode."""
    return stack_agents(toy_original, toy_policy(jax.random.key(7), 5.0))


@pytest.fixture
def program(monkeypatch, toy_program, toy_original, runaway_agents):
    """Datasets come from the toy task, whatever their recipe says."""
    counting = CountingProgram(toy_program)
    rollouts = Rollouts(counting, runaway_agents, toy_original)
    monkeypatch.setattr("mpo_experiments.datasets.build.rollouts_of", lambda recipe: rollouts)
    return counting


@pytest.fixture
def built(tmp_path, program):
    return build_dataset(RECIPE, tmp_path / "data", SilentReporter())


@pytest.fixture
def folder(built):
    return built.folder


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


# -- what is in a dataset ---------------------------------------------------------------------------------------------


def test_rows_are_those_of_the_core(built, toy_program, runaway_agents):
    spec, key = parse_data_spec(DATA), stream_key(SEED, Stream.DATASET)
    bank = generate_pairs(toy_program, runaway_agents, spec, RowSettings(ROWS, LENGTH), key=key)
    expected = label_pairs(bank, spec, key=stream_key(SEED, Stream.DATASET, Purpose.LABELS))
    for name, leaf in vars(expected).items():
        np.testing.assert_array_equal(getattr(built.dataset.rows, name), leaf, err_msg=name)
    assert {str(leaf.dtype) for leaf in jax.tree.leaves(built.dataset.rows)} == {"float32", "int32", "bool"}


def test_a_loaded_dataset_is_the_one_that_was_built(built):
    loaded = load_dataset(built.folder)
    assert loaded.card == built.dataset.card
    for ours, theirs in zip(jax.tree.leaves(loaded.rows), jax.tree.leaves(built.dataset.rows), strict=True):
        assert ours.dtype == theirs.dtype
        np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_array_equal(loaded.reward, built.dataset.reward)


def test_rewards_sum_to_the_returns_and_stop_at_the_end(built):
    data = built.dataset
    alive = data.rows.alive > 0
    assert (data.steps < LENGTH).any()
    assert (data.steps == LENGTH).any()
    assert (np.diff(data.rows.alive, axis=-1) <= 0).all()
    for padding in (data.reward, data.rows.observation, data.rows.action):
        assert not padding[~alive].any()
    np.testing.assert_allclose(data.reward.sum(-1), data.rows.return_, rtol=1e-5)
    row, side = np.argwhere(data.steps < LENGTH)[0]
    taken = data.trajectory(int(row), int(side))
    assert taken.observation.shape == (data.steps[row, side], 3)
    assert taken.reward.sum() == pytest.approx(data.rows.return_[row, side], rel=1e-5)


def test_start_keys_give_the_start_state_of_both_sides(built, toy_task):
    data = built.dataset
    starts = jax.vmap(lambda key: toy_task.reset(key=key).observation)(jax.random.wrap_key_data(data.start_key))
    for side in range(2):
        np.testing.assert_allclose(data.rows.observation[:, side, 0], starts, rtol=1e-6)
    assert len(np.unique(starts, axis=0)) == ROWS


def test_the_cards_numbers(built, toy_original):
    rows, numbers = built.dataset.rows, built.dataset.card.numbers
    first, second = rows.return_.T
    counts = (numbers.rows_original_original, numbers.rows_original_target, numbers.rows_target_target)
    assert counts == (ROWS // 2, ROWS // 2, 0)
    assert numbers.labels_flipped == pytest.approx(rows.flipped.mean())
    assert 0 < numbers.labels_flipped < 0.3
    assert numbers.labels_wrong == pytest.approx((first < second).mean())
    assert numbers.return_chosen_mean == pytest.approx(first.mean(), rel=1e-5)
    assert numbers.return_rejected_deviation == pytest.approx(second.std(ddof=1), rel=1e-5)
    np.testing.assert_allclose(np.abs(first - second), rows.margin * numbers.return_difference_deviation, rtol=1e-3)
    assert numbers.steps_alive_mean == pytest.approx(built.dataset.steps.mean())
    assert numbers.ended_early == pytest.approx((built.dataset.steps < LENGTH).mean())
    means = (row_log_probs(toy_original, rows) / rows.tokens).mean(0)
    assert numbers.token_log_prob_chosen_original == pytest.approx(float(means[0]), rel=1e-5)
    assert numbers.token_log_prob_rejected_original == pytest.approx(float(means[1]), rel=1e-5)
    assert built.dataset.card.command == f"mpo data build --task toy --data {DATA} --rows 138 --length 60 --seed 3"


def test_overlap_is_the_chance_that_the_original_wins(rng):
    return_, source = rng.integers(0, 6, (40, 2)).astype(float), rng.integers(0, 2, (40, 2))
    wins = [
        1.0 if original > target else 0.5 if original == target else 0.0
        for original in return_[source == 0] for target in return_[source == 1]
    ]  # fmt: skip
    assert overlap(return_, source) == pytest.approx(np.mean(wins))
    assert overlap(np.array([[1.0, 2.0]]), np.array([[0, 1]])) == 0.0
    assert overlap(np.array([[2.0, 2.0]]), np.array([[0, 1]])) == 0.5
    assert overlap(np.array([[1.0, 2.0]]), np.array([[0, 0]])) is None


def test_physics_that_blew_up_is_refused(tmp_path, program):
    program.spoil = lambda block: dataclasses.replace(block, reward=np.full_like(block.reward, np.nan))
    with pytest.raises(UnusableSetting, match="blew up in 276 trajectories: take another seed"):
        build_dataset(RECIPE, tmp_path, SilentReporter())


# -- the cache --------------------------------------------------------------------------------------------------------


def test_a_cached_dataset_is_reused_at_once(tmp_path, program, built):
    before, blocks = files(built.folder), program.blocks_done
    again = build_dataset(RECIPE, tmp_path / "data", SilentReporter())
    assert (again.reused, built.reused) == (True, False)
    assert again.folder == built.folder
    assert program.blocks_done == blocks
    assert files(again.folder) == before
    assert [path.name for path in (tmp_path / "data").iterdir()] == [built.folder.name]


@pytest.mark.parametrize("blocks", [0, 7, 8, 13, 17])
def test_an_interrupted_build_resumes_to_the_same_bytes(tmp_path, program, built, blocks):
    whole = files(built.folder)
    total, program.blocks_done = program.blocks_done, 0
    program.fails_at, program.failure = blocks, interrupt
    with pytest.raises(KeyboardInterrupt):
        build_dataset(RECIPE, tmp_path / "other", SilentReporter())
    finished = blocks // 8  # a part of 64 rows takes 8 blocks of 16 envs
    left = list(tmp_path.glob("other/*"))
    assert [path.suffix for path in left] == [".partial"] * bool(finished)
    parts = sorted(path.name for partial in left for path in partial.glob("*.npz"))
    assert parts == [f"{part * PART_ROWS:08d}.npz" for part in range(finished)]
    program.blocks_done, program.fails_at = 0, None
    reporter = Notes()
    again = build_dataset(RECIPE, tmp_path / "other", reporter)
    assert files(again.folder) == whole
    assert program.blocks_done == total - 8 * finished
    assert bool(reporter.said) == bool(finished)
    assert list((tmp_path / "other").iterdir()) == [again.folder]


def test_a_build_interrupted_while_it_writes_leaves_nothing_half_written(tmp_path, program, built, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("adapters.storage.dataset_files.write_json", lambda path, value: interrupt())
        with pytest.raises(KeyboardInterrupt):
            build_dataset(RECIPE, tmp_path / "other", SilentReporter())
    (partial,) = (tmp_path / "other").iterdir()
    assert partial.name.endswith(".partial")
    blocks = program.blocks_done
    assert files(build_dataset(RECIPE, tmp_path / "other", SilentReporter()).folder) == files(built.folder)
    assert program.blocks_done == blocks


def damage_truncate(content):
    return content[: len(content) // 2]


def damage_flip(content):
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


def damage_empty(content):
    return b""


def damage_foreign(content):
    return json.dumps({"something": "else"}).encode()


DAMAGES = [damage_truncate, damage_flip, damage_empty, damage_foreign]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_part_is_rolled_out_again(tmp_path, program, built, damage):
    program.blocks_done, program.fails_at, program.failure = 0, 17, interrupt
    with pytest.raises(KeyboardInterrupt):
        build_dataset(RECIPE, tmp_path / "other", SilentReporter())
    (part, _) = sorted((tmp_path / "other").glob("*.partial/*.npz"))
    part.write_bytes(damage(part.read_bytes()))
    program.blocks_done, program.fails_at = 0, None
    again = build_dataset(RECIPE, tmp_path / "other", SilentReporter())
    assert files(again.folder) == files(built.folder)
    assert program.blocks_done == 8 + 2


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", [ROWS_FILE, CARD_FILE])
def test_a_damaged_cached_dataset_is_made_again(tmp_path, program, built, name, damage):
    whole = files(built.folder)
    (built.folder / name).write_bytes(damage(whole[name]))
    reporter = Notes()
    again = build_dataset(RECIPE, tmp_path / "data", reporter)
    assert not again.reused
    assert "is made again" in reporter.said[0]
    assert files(again.folder) == whole


def test_two_builds_of_one_dataset_do_not_meet(tmp_path, program):
    partial = tmp_path / f"{RECIPE.recipe_sha256[:16]}.partial"
    partial.mkdir()
    with (partial / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(UnusableSetting, match="another mpo process is writing to it"):
            build_dataset(RECIPE, tmp_path, SilentReporter())
    assert build_dataset(RECIPE, tmp_path, SilentReporter()).folder.is_dir()


# -- the recipe -------------------------------------------------------------------------------------------------------


def recipe_hash(task="hopper", data=DATA, rows=64, length=60, seed=0):
    return dataset_recipe(task, parse_data_spec(data), RowSettings(rows, length), seed).recipe_sha256


def test_every_setting_is_in_the_hash():
    found = [
        recipe_hash(), recipe_hash(task="ant"), recipe_hash(data="mixed:0.5"), recipe_hash(rows=65),
        recipe_hash(length=61), recipe_hash(seed=1),
    ]  # fmt: skip
    assert len(set(found)) == len(found)
    assert recipe_hash(data="noisy:0.1+mixed:0.5") == recipe_hash(data="mixed:.5+noisy:.1")


def test_agents_versions_and_devices_are_in_the_hash(tmp_path, monkeypatch):
    before = recipe_hash()
    with monkeypatch.context() as patch:
        patch.setattr("mpo_experiments.provenance.devices", lambda: {"platform": "gpu", "count": 1, "kind": "x"})
        assert recipe_hash() != before
    with monkeypatch.context() as patch:
        real = importlib.metadata.version
        patch.setattr("importlib.metadata.version", lambda name: "0.0.1" if name == "mujoco" else real(name))
        assert recipe_hash() != before
    own = shutil.copytree(agents_folder("hopper"), tmp_path / "hopper")
    monkeypatch.setenv("MPO_AGENTS_DIR", str(tmp_path))
    assert recipe_hash() == before
    card = json.loads((own / "card.json").read_text())
    (own / "card.json").write_text(json.dumps(card | {"bin_width": 0.2}))
    assert recipe_hash() != before
    card.pop("sha256")
    (own / "card.json").write_text(json.dumps(card))
    shutil.copy(own / "target.safetensors", own / "original.safetensors")
    assert recipe_hash() != before


# -- loading ----------------------------------------------------------------------------------------------------------


def rewrite_card(folder, change):
    """A card that was changed, and signed again."""
    card = json.loads((folder / CARD_FILE).read_text()) | change
    (folder / CARD_FILE).write_text(json.dumps(card | {"card_sha256": card_hash(card)}))


def refused(path) -> str:
    with pytest.raises(ValueError, match="dataset") as caught:
        load_dataset(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_rows_are_refused(folder, damage):
    rows = folder / ROWS_FILE
    rows.write_bytes(damage(rows.read_bytes()))
    assert f"{rows}: does not match the hash in card.json, so it is damaged" in refused(folder)


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (damage_truncate, "is not JSON"),
        (damage_flip, "dataset card"),
        (damage_empty, "is not JSON"),
        (damage_foreign, 'no "format"'),
    ],
)
def test_a_damaged_card_is_refused(folder, damage, says):
    card = folder / CARD_FILE
    card.write_bytes(damage(card.read_bytes()))
    assert says in refused(folder)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"format": "mpo-objective"}, 'is not of an mpo dataset (no "format": "mpo-preference-data")'),
        ({"schema_version": 2}, "has schema version 2, this mpo reads 1"),
        ({"rows": "many"}, "'rows': Input should be a valid integer"),
        ({"rows": 1}, "count must be >= 2"),
        ({"data": "foul"}, "unknown data term 'foul'"),
        ({"colour": "red"}, "'colour': Extra inputs are not permitted"),
        ({"rows": 137}, "'observation' is float32 (138, 2, 60, 3), but its card asks for float32 (137, 2, 60, 3)"),
        ({"action_size": 3}, "'action' is float32 (138, 2, 60, 2), but its card asks for float32 (138, 2, 60, 3)"),
    ],
)
def test_a_card_that_does_not_fit_is_refused(folder, change, says):
    rewrite_card(folder, change)
    assert says in refused(folder)


def test_an_edited_card_is_refused(folder):
    text = (folder / CARD_FILE).read_text()
    (folder / CARD_FILE).write_text(text.replace('"rows_original_original": 69', '"rows_original_original": 68'))
    assert "does not match its own hash, so it is damaged or was edited" in refused(folder)


def test_missing_files_are_refused(folder, tmp_path):
    assert "cannot be read (No such file or directory)" in refused(tmp_path / "nowhere")
    assert "cannot be read" in refused(tmp_path / "nowhere.npz")
    (folder / ROWS_FILE).unlink()
    assert f"{folder / ROWS_FILE}: cannot be read (No such file or directory)" in refused(folder)
    (folder / CARD_FILE).write_text("[1, 2]")
    assert "holds no JSON object" in refused(folder)


def pickled(arrays):
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=True, **arrays | {"source": np.array([{"a": 1}], object)})
    return buffer.getvalue()


def not_arrays(arrays):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("observation", b"no array")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("forge", "says"),
    [
        (lambda arrays: b"\x93NUMPY nothing", "is not an npz file of plain arrays"),
        (pickled, "is not an npz file of plain arrays"),
        (not_arrays, "is not an npz file of plain arrays"),
        (lambda arrays: npz_bytes({"weights": np.zeros(3)}), "holds weights, not observation, action"),
        (lambda arrays: npz_bytes(arrays | {"margin": np.zeros(ROWS)}), "'margin' is float64 (138,)"),
        (lambda arrays: npz_bytes(arrays | {"reward": np.zeros(ROWS, np.float32)}), "'reward' is float32 (138,)"),
    ],
)
def test_rows_of_something_else_are_refused_even_under_their_own_hash(built, forge, says):
    content = forge(built.dataset.arrays())
    (built.folder / ROWS_FILE).write_bytes(content)
    rewrite_card(built.folder, {"sha256": hashlib.sha256(content).hexdigest()})
    assert says in refused(built.folder)


# -- the command line -------------------------------------------------------------------------------------------------


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MPO_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "cache" / "data"


def test_build_says_what_was_made_and_where(cache, program):
    first, again = (invoke("data", "build", *SMALL) for _ in range(2))
    assert (first.exit_code, again.exit_code) == (0, 0), first.stderr
    (folder,) = cache.iterdir()
    assert f"Dataset      {folder}\n" in first.stdout
    assert "It was there already." not in first.stdout
    assert "It was there already." in again.stdout
    assert "Labels " in first.stdout
    assert load_dataset(folder).card.rows == 80


def test_build_puts_a_copy_where_it_is_told(cache, program, tmp_path):
    out = tmp_path / "mine"
    assert invoke("data", "build", *SMALL, "--out", out).exit_code == 0
    (folder,) = cache.iterdir()
    assert files(out) == files(folder)
    again = invoke("data", "build", *SMALL, "--out", out)
    assert "It was there already." in again.stdout
    other = invoke("data", "build", *SMALL, "--seed", 1, "--out", out)
    assert_refused(other.exit_code, other.stdout, other.stderr, "holds something else: name a new folder")
    assert files(out) == files(folder)


def test_describe_takes_a_specification_or_a_dataset(cache, program):
    found = invoke("data", "describe", *SMALL, "--json")
    assert found.exit_code == 0, found.stderr
    card = json.loads(found.stdout)
    assert (card["data"], card["rows"], card["numbers"]["rows_original_original"]) == (DATA, 80, 40)
    (folder,) = cache.iterdir()
    assert json.loads(invoke("data", "describe", "--dataset", folder, "--json").stdout) == card
    shown = invoke("data", "describe", "--dataset", folder).stdout
    assert "labels flipped" in shown
    assert invoke("data", "describe", *SMALL).stdout.endswith(shown)


@pytest.mark.parametrize(
    ("failure", "code", "says"),
    [
        (interrupt, 130, "Interrupted. Run the same command again: finished parts are kept"),
        (lambda: os.kill(os.getpid(), signal.SIGTERM), 143, "Terminated. Run the same command again"),
    ],
)
def test_an_interrupted_command_advises_and_resumes(cache, program, failure, code, says):
    program.fails_at, program.failure = 9, failure
    found = invoke("data", "build", *SMALL)
    assert found.exit_code == code
    assert says in found.stderr
    assert [path.suffix for path in cache.iterdir()] == [".partial"]
    program.fails_at = None
    again = invoke("data", "build", *SMALL)
    assert "64 of 80 rows are there from a build that was interrupted" in again.stdout
    assert [path.suffix for path in cache.iterdir()] == [""]


HOPPER = ("--task", "hopper", "--data", "base")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("build",), "--task is not given: a dataset is made from --task and --data"),
        (("build", "--task", "hopper"), "--data is not given"),
        (("build", "--task", "hoper", "--data", "base"), "did you mean 'hopper'?"),
        (("build", "--task", "hopper", "--data", "mixed:2"), "between 0 and 1"),
        (("build", *HOPPER, "--rows", "1"), "count must be >= 2 and length >= 1, not 1 and 1000"),
        (("build", *HOPPER, "--rows", "0"), "not 0 and 1000"),
        (("build", *HOPPER, "--length", "0"), "not 1280 and 0"),
        (("build", *HOPPER, "--seed", "-1"), "seed must lie between 0 and 2147483647, not -1"),
        (("build", *HOPPER, "--out", "{file}"), "is a file, not a folder"),
        (("build", *HOPPER, "--out", "{full}"), "holds something else: name a new folder"),
        (("describe",), "--task is not given"),
        (("describe", *HOPPER, "--dataset", "x"), "--dataset names a dataset that is built: give no --task"),
        (
            ("describe", "--preset", "quick", "--dataset", "x"),
            "--dataset names a dataset that is built: give no --task",
        ),
        (("describe", "--dataset", "nowhere"), "dataset card nowhere/card.json: cannot be read"),
        (("describe", "--dataset", "{full}"), 'is not of an mpo dataset (no "format": "mpo-preference-data")'),
        (("export", "--format", "npz", "--out", "x.npz"), "--task is not given"),
        (("export", "--format", "csv", *HOPPER), "unknown format 'csv' (allowed: npz, parquet, minari)"),
        (("export", "--format", "npz", *HOPPER), "--format npz needs --out FILE.npz"),
        (
            ("export", "--format", "npz", *HOPPER, "--out", "{full}/card.npz"),
            "where its card would go, is no dataset's",
        ),
        (
            ("export", "--format", "parquet", *HOPPER, "--out", "x.npz"),
            "--out x.npz: name a file that ends in .parquet",
        ),
        (("export", "--format", "npz", *HOPPER, "--out", "{file}/x.npz"), "is a file, not a folder"),
        (("export", "--format", "npz", "--dataset", "nowhere", "--out", "x.npz"), "cannot be read"),
    ],
)
def test_data_commands_refuse_at_the_door(cache, tmp_path, arguments, says):
    file, full = tmp_path / "file", tmp_path / "full"
    file.write_text("mine")
    full.mkdir()
    (full / CARD_FILE).write_text('{"mine": 1}')
    found = invoke("data", *(argument.format(file=file, full=full) for argument in arguments))
    assert_refused(found.exit_code, found.stdout, found.stderr, says)
    assert sorted(tmp_path.iterdir()) == [file, full]
    assert list(full.iterdir()) == [full / CARD_FILE]


def test_a_cache_that_cannot_be_written_is_refused(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MPO_CACHE_DIR", str(tmp_path / "file"))
    found = invoke("data", "build", *HOPPER)
    assert_refused(found.exit_code, found.stdout, found.stderr, "is a file, not a folder")


def test_npz_bytes_know_no_clock():
    content = npz_bytes({"a": np.arange(3), "b": np.ones((2, 2), np.float32)})
    assert {entry.date_time[0] for entry in zipfile.ZipFile(io.BytesIO(content)).infolist()} == {1980}
