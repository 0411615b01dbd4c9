"""Run folders: whole checkpoints, records that a resumed search may write again, one process at a time."""

import json
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adapters.storage.files import read_json, write_whole
from adapters.storage.run_folder import KEPT_CHECKPOINTS, RunFolder
from mpo_core.failures import WorkFailed
from mpo_experiments.runs.folder import create_run, open_run
from mpo_experiments.settings.run_config import build_run


@pytest.fixture
def config():
    return build_run({"task": "halfcheetah", "data": "noisy:0.1+mixed:0.5", "preset": "smoke", "seed": 3})


@pytest.fixture
def folder(tmp_path, config):
    return create_run(tmp_path / "runs", config)


def state_of(value: float):
    return {"mean": jnp.full(3, value), "step": jnp.int32(value), "scale": jnp.float32(value) / 3}


def checkpoints(folder):
    return sorted(path.name for path in (folder.path / "checkpoints").iterdir())


def test_a_folder_is_named_by_task_and_data(folder, tmp_path):
    assert folder.path.parent == tmp_path / "runs"
    assert folder.path.name.startswith("halfcheetah-mixed0.5_noisy0.1-")
    assert list(folder.path.iterdir()) == []


def test_two_folders_never_share_a_name(tmp_path, config):
    assert len({create_run(tmp_path, config).path for _ in range(5)}) == 5


def test_a_folder_cannot_be_made_under_a_file(tmp_path, config):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match=r"--out .*file: no run folder can be made there \("):
        create_run(tmp_path / "file", config)


def test_the_configuration_comes_back(folder, config):
    written = config.model_copy(update={"provenance": {"versions": {"jax": "0.10"}}})
    folder.write_config(written.model_dump(mode="json"))
    opened, read = open_run(folder.path)
    assert read == written
    assert opened.path == folder.path
    assert read != build_run({"task": "halfcheetah"})


def test_other_folders_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"has no config\.json"):
        open_run(tmp_path)
    (tmp_path / "config.json").write_text('{"task": "halfcheetah", "preset": "smoke", "colour": 1}')
    with pytest.raises(ValueError, match="unknown setting 'colour'"):
        open_run(tmp_path)


def test_checkpoints_survive_a_round_trip_to_the_byte(folder):
    assert folder.load_checkpoint(state_of(0)) is None
    folder.save_checkpoint(4, state_of(7))
    generation, state = folder.load_checkpoint(state_of(0))
    assert generation == 4
    assert jax.tree.structure(state) == jax.tree.structure(state_of(7))
    for found, expected in zip(jax.tree.leaves(state), jax.tree.leaves(state_of(7)), strict=True):
        assert (found.shape, found.dtype, found.weak_type) == (expected.shape, expected.dtype, False)
        assert np.asarray(found).tobytes() == np.asarray(expected).tobytes()


def test_the_last_few_checkpoints_are_kept(folder):
    for generation in range(1, 7):
        folder.save_checkpoint(generation, state_of(generation))
    assert KEPT_CHECKPOINTS == 3
    assert checkpoints(folder) == [
        f"{generation:06d}.{kind}" for generation in (4, 5, 6) for kind in ("json", "safetensors")
    ]
    assert folder.load_checkpoint(state_of(0))[0] == 6


def test_the_best_checkpoint_is_kept_too(folder):
    """Generation n scores the search mean that checkpoint n holds; the first, without a checkpoint, is the start's."""
    for generation, mean in enumerate([9.0, 0.1, 0.7, 0.3, None, 0.2, 0.1, 0.6]):
        folder.append_metrics({"generation": generation, "mean": mean})
        folder.save_checkpoint(generation + 1, state_of(generation + 1))
    kept = sorted({name.partition(".")[0] for name in checkpoints(folder)})
    assert kept == ["000002", "000006", "000007", "000008"]


def test_checkpoints_after_a_damaged_run_are_not_counted(folder):
    """A search that fell back writes earlier ones anew: they are not dropped for the damaged ones behind them."""
    for generation in (5, 6, 7, 8):
        folder.save_checkpoint(generation, state_of(generation))
    for generation in (7, 8):
        (folder.path / "checkpoints" / f"{generation:06d}.safetensors").write_bytes(b"")
    (folder.path / "checkpoints" / "000006.json").unlink()
    folder.save_checkpoint(3, state_of(3))
    folder.save_checkpoint(4, state_of(4))
    said = []
    assert folder.load_checkpoint(state_of(0), said.append)[0] == 4
    assert [line.partition(" cannot")[0] for line in said] == [f"warning: checkpoint {n:06d}" for n in (8, 7, 6)]
    assert all(line.endswith("the one before is tried") for line in said)


@pytest.mark.parametrize("damage", ["torn", "flipped", "missing", "no card", "card torn"])
def test_a_torn_checkpoint_falls_back_to_the_one_before(folder, damage):
    for generation in (1, 2):
        folder.save_checkpoint(generation, state_of(generation))
    tensors, card = (folder.path / "checkpoints" / f"000002.{kind}" for kind in ("safetensors", "json"))
    content = tensors.read_bytes()
    if damage == "torn":
        tensors.write_bytes(content[:-5])
    elif damage == "flipped":
        tensors.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    elif damage == "missing":
        tensors.unlink()
    elif damage == "no card":
        card.unlink()
    else:
        card.write_text(card.read_text()[:10])
    said = []
    generation, state = folder.load_checkpoint(state_of(0), said.append)
    assert generation == 1
    np.testing.assert_array_equal(state["mean"], 1)
    assert len(said) == 1
    assert "checkpoint 000002 cannot be used (" in said[0]
    assert "000001" not in said[0]


def test_checkpoints_of_another_search_are_not_taken(folder):
    folder.save_checkpoint(1, {"mean": jnp.zeros(3)})
    assert folder.load_checkpoint(state_of(0)) is None
    folder.save_checkpoint(2, state_of(0) | {"mean": jnp.zeros(4)})
    assert folder.load_checkpoint(state_of(0)) is None


def test_a_search_that_must_begin_anew_says_so(folder):
    folder.save_checkpoint(1, {"mean": jnp.zeros(3)})
    said = []
    assert folder.load_checkpoint(state_of(0), said.append) is None
    assert "of another search, or of other versions of this program or of evosax): the search begins anew" in said[0]


def test_leftovers_are_swept_and_nothing_else(folder, config):
    folder.write_config(config.model_dump(mode="json"))
    folder.save_checkpoint(1, state_of(1))
    before = sorted(folder.path.rglob("*"))
    for name in (".metrics.jsonl.12.tmp", "checkpoints/.000002.json.12.tmp"):
        (folder.path / name).write_text("{")
    folder.sweep()
    assert sorted(folder.path.rglob("*")) == before


def test_a_lost_folder_is_noticed(folder, config):
    folder.lock()
    folder.write_config(config.model_dump(mode="json"))
    (folder.path / ".lock").unlink()
    for write in (
        lambda: folder.append_metrics({"generation": 0}),
        lambda: folder.save_checkpoint(1, state_of(1)),
        lambda: folder.write_config(config.model_dump(mode="json")),
    ):
        with pytest.raises(WorkFailed, match="was removed or replaced while this run was writing to it"):
            write()
    assert [path.name for path in folder.path.iterdir()] == ["config.json"]


def test_a_folder_without_a_place_for_the_lock_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"cannot be written to \(No such file or directory\)"):
        RunFolder(tmp_path / "gone").lock()


def test_records_that_will_be_written_again_are_dropped(folder):
    for generation in range(4):
        folder.append_metrics({"generation": generation, "mean": 0.1 * generation})
    folder.keep_metrics_before(2)
    assert [record["generation"] for record in folder.metrics()] == [0, 1]
    folder.append_metrics({"generation": 2, "mean": 0.5})
    assert folder.metrics()[-1] == {"generation": 2, "mean": 0.5}


def test_a_torn_last_record_is_dropped(folder):
    folder.append_metrics({"generation": 0, "mean": 0.1})
    with (folder.path / "metrics.jsonl").open("a") as file:
        file.write('{"generation": 1, "me')
    assert [record["generation"] for record in folder.metrics()] == [0]


def test_one_handle_at_a_time(folder):
    folder.lock()
    with pytest.raises(ValueError, match="another mpo process is writing to it"):
        RunFolder(folder.path).lock()
    code = (
        "from pathlib import Path; from adapters.storage.run_folder import RunFolder; "
        f"RunFolder(Path({str(folder)!r})).lock()"
    )
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert other.returncode != 0
    assert "another mpo process is writing to it" in other.stderr
    folder.unlock()
    RunFolder(folder.path).lock()


def test_a_killed_process_leaves_no_lock(folder):
    code = (
        "import os; from pathlib import Path; from adapters.storage.run_folder import RunFolder;"
        f"RunFolder(Path({str(folder)!r})).lock(); os.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -9
    folder.lock()


def test_files_are_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "deep" / "file.json"
    write_whole(path, b'{"a": 1}')
    with pytest.raises(TypeError):
        write_whole(path, "text, not bytes")  # type: ignore[arg-type]
    assert read_json(path, "file") == {"a": 1}
    assert [entry.name for entry in path.parent.iterdir()] == ["file.json"]
    assert json.loads(path.read_text()) == {"a": 1}
