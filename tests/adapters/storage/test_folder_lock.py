"""One process at a time writes to a folder, and what was refused leaves none behind."""

import pytest

from adapters.storage.folder_lock import locked_folder, take_lock


def test_a_folder_that_is_taken_is_refused(tmp_path):
    with locked_folder(tmp_path, "--out"), pytest.raises(ValueError, match="another mpo process is writing to it"):
        take_lock(tmp_path, "--out")
    take_lock(tmp_path, "--out").close()


def test_a_lock_that_its_holder_removed_meanwhile_is_not_taken(tmp_path, monkeypatch):
    def removed(*_):
        (tmp_path / ".lock").unlink()

    monkeypatch.setattr("adapters.storage.folder_lock.fcntl.flock", removed)
    with pytest.raises(ValueError, match="another mpo process is writing to it"):
        take_lock(tmp_path, "--out")


def hold(folder, *written):
    """Takes a folder, writes files, and fails."""
    with locked_folder(folder, "--out"):
        for name in written:
            (folder / name).touch()
        raise ValueError("refused")


@pytest.mark.parametrize("there", [True, False])
def test_a_folder_that_was_made_for_nothing_goes_again(there, tmp_path):
    folder = tmp_path / "in" / "out"
    if there:
        folder.mkdir(parents=True)
    with pytest.raises(ValueError, match="refused"):
        hold(folder)
    assert folder.exists() == folder.parent.exists() == there
    assert not list(tmp_path.rglob(".lock"))
    with pytest.raises(ValueError, match="refused"):
        hold(folder, "kept")
    assert (folder / "kept").exists()
