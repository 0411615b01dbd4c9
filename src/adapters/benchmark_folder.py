"""A benchmark on disk: finished cells and, beside each, the tuned settings that it was made with."""

import contextlib
import fcntl
from collections.abc import Iterator
from pathlib import Path

from adapters.benchmark_cell import BenchmarkSettings, Cell, CellKey, cell_config
from adapters.files import slug
from adapters.provenance import agents_hash
from adapters.sealed import read_model, write_sealed
from adapters.tuned import TunedCell, read_tuned


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
        found = read_model(path, "benchmark cell", Cell, advice="remove it to have it run again")
        wanted = (settings.command(key), cell_config(settings.config(key)), agents_hash(key.task))
        names = ("command", "sizes", "agents")
        for name, have, want in zip(
            names, (found.command, found.config, found.provenance.get("agents")), wanted, strict=True
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
            found = read_tuned(path)
        except ValueError:  # not there, or damaged: it is made again
            return None
        fits = found.command == settings.command(key) and set(settings.objectives) <= found.objectives.keys()
        return found if fits else None

    def save_tuned(self, key: CellKey, tuned: TunedCell) -> None:
        """Keeps what tuning found."""
        write_sealed(self._file(key, ".tuned"), tuned.model_dump(mode="json"))

    def save(self, cell: Cell) -> None:
        """Keeps a finished cell."""
        write_sealed(self._file(cell.key), cell.model_dump(mode="json"))

    def _file(self, key: CellKey, kind: str = "") -> Path:
        return self.path / "cells" / f"{key.task}-{slug(key.data)}-w{key.bin_width:g}{kind}.json"
