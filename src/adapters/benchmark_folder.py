"""A benchmark on disk: finished cells and, beside each, the tuned settings that it was made with."""

import contextlib
import fcntl
from collections.abc import Iterator
from pathlib import Path

import pydantic

from adapters.benchmark import BenchmarkSettings, Cell, CellKey, cell_config
from adapters.files import read_json, slug, write_json
from adapters.provenance import agents_hash
from adapters.tuned import TunedCell


class BenchmarkFolder:
    """`cells/<task>-<data>[-w<bin width>].json` and `.tuned.json` in a folder that one process at a time writes to."""

    def __init__(self, path: Path):
        self.path = path

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """While open, no other process can take the folder.

        Raises:
            ValueError: another process has it.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        with (self.path / ".lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise ValueError(f"--out {self.path}: another mpo process is writing to it") from None
            yield

    def cell(self, key: CellKey, settings: BenchmarkSettings) -> Cell | None:
        """A finished cell; None if it is not there.

        Raises:
            ValueError: it is damaged, or was made with other settings or agents.
        """
        path = self._file(key)
        if not path.is_file():
            return None
        try:
            found = Cell.model_validate(read_json(path, "benchmark cell"))
        except pydantic.ValidationError:
            raise ValueError(f"benchmark cell {path}: is damaged; remove it to have it run again") from None
        wanted = (settings.command(key), cell_config(settings.config(key)), agents_hash(key.task))
        names = ("command", "sizes", "agents")
        for name, have, want in zip(
            names, (found.command, found.config, found.provenance["agents"]), wanted, strict=True
        ):
            if have != want:
                raise ValueError(
                    f"benchmark cell {path}: was made with another {name}; choose another --out or remove it"
                )
        return found

    def tuned(self, key: CellKey, settings: BenchmarkSettings) -> TunedCell | None:
        """The settings that an interrupted cell had already found; None if there are none that fit."""
        path = self._file(key, ".tuned")
        try:
            found = TunedCell.model_validate(read_json(path, "tuned settings"))
        except ValueError:  # pydantic's error is one
            return None
        return found if found.command == settings.command(key) else None

    def save_tuned(self, key: CellKey, tuned: TunedCell) -> None:
        """Keeps what tuning found."""
        write_json(self._file(key, ".tuned"), tuned.model_dump(mode="json"))

    def save(self, cell: Cell) -> None:
        """Keeps a finished cell."""
        write_json(self._file(cell.key), cell.model_dump(mode="json"))

    def _file(self, key: CellKey, kind: str = "") -> Path:
        return self.path / "cells" / f"{key.task}-{slug(key.data)}-w{key.bin_width:g}{kind}.json"
