"""A run's folder: config.json, metrics.jsonl, checkpoints, the objective, figures (design section 4)."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import safetensors
import safetensors.numpy

from adapters.processes.signals import signals_held
from adapters.storage.files import LEFTOVERS, naming, parse_json, read_json, write_json, write_whole
from adapters.storage.folder_lock import holds, take_lock
from adapters.storage.sealed import write_sealed
from mpo_core.failures import WorkFailed

CONFIG_NAME = "config.json"
KEPT_CHECKPOINTS = 3
"""The last few, so that a damaged one loses little; the best one, by the score of its search mean, is kept as well."""


class RunFolder:
    """One run on disk. Every file is written whole or not at all; one process at a time holds the folder."""

    def __init__(self, path: Path):
        self.path = path
        self._lock = None

    def lock(self) -> None:
        """Takes the folder for this process; it is free again when the process ends, however it ends.

        Raises:
            ValueError: another process has it, or it cannot be written to.
        """
        self._lock = take_lock(self.path, "run folder")

    def unlock(self) -> None:
        """Gives the folder back."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def check(self) -> None:
        """To be called before writing: a removed folder is not to come back as a fragment.

        Raises:
            WorkFailed: the folder that this process locked is no longer there.
        """
        if self._lock is not None and not holds(self._lock, self.path):
            raise WorkFailed(
                f"run folder {self.path}: was removed or replaced while this run was writing to it; "
                "nothing more can be saved there, so start the run again"
            )

    def sweep(self) -> None:
        """Removes what killed writers have left; only for the process that holds the folder."""
        for left in self.path.rglob(LEFTOVERS):
            left.unlink(missing_ok=True)

    def remove_unused(self) -> None:
        """Removes the folder of a run that was refused before its first generation."""
        if not self._checkpoints():
            shutil.rmtree(self.path, ignore_errors=True)

    def write_config(self, config: dict[str, Any]) -> None:
        """config.json: all settings and the provenance."""
        self.check()
        write_sealed(self.path / CONFIG_NAME, config)

    def append_metrics(self, record: dict[str, Any]) -> None:
        """A line in metrics.jsonl, on disk when this returns."""
        self.check()
        path = self.path / "metrics.jsonl"
        with signals_held(), naming(path), path.open("a") as file:
            file.write(json.dumps(record) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def metrics(self) -> list[dict[str, Any]]:
        """The records of all generations, each once, in order; lines that are torn or damaged are left out."""
        path = self.path / "metrics.jsonl"
        if not path.exists():
            return []
        found = [_record(line) for line in path.read_bytes().splitlines()]
        by_generation = {record["generation"]: record for record in found if record is not None}
        return [by_generation[generation] for generation in sorted(by_generation)]

    def keep_metrics_before(self, generation: int, warn: Callable[[str], None] = lambda text: None) -> None:
        """Drops records that a resumed search will write again.

        Args:
            warn: told how many of the others are lost.
        """
        kept = [record for record in self.metrics() if record["generation"] < generation]
        lost = generation - len(kept)
        if lost:
            warn(
                f"warning: metrics.jsonl has lost the records of {lost} of {generation} generations: figures lack them"
            )
        write_whole(self.path / "metrics.jsonl", "".join(json.dumps(record) + "\n" for record in kept).encode())

    def save_checkpoint(self, generation: int, state: Any) -> None:
        """The search state after `generation` generations."""
        self.check()
        # ascontiguousarray alone would make scalars arrays of one entry
        leaves = {
            f"{i:04d}": np.ascontiguousarray(leaf).reshape(np.shape(leaf))
            for i, leaf in enumerate(jax.tree.leaves(state))
        }
        content = safetensors.numpy.save(leaves)
        folder = self.path / "checkpoints"
        with signals_held():
            write_whole(folder / f"{generation:06d}.safetensors", content)
            write_json(
                folder / f"{generation:06d}.json",
                {"generation": generation, "sha256": hashlib.sha256(content).hexdigest()},
            )
            self._prune(generation)

    def _prune(self, newest: int) -> None:
        """Drops checkpoints but for the last few and the best; later ones are left for the search to overwrite."""
        numbers = [number for number in self._checkpoints() if number <= newest]
        kept = {*numbers[-KEPT_CHECKPOINTS:], self._best(numbers)}
        for number in numbers:
            if number not in kept:
                for kind in ("json", "safetensors"):
                    (self.path / "checkpoints" / f"{number:06d}.{kind}").unlink(missing_ok=True)

    def _best(self, numbers: list[int]) -> int | None:
        """The one with the best search mean: generation n scores the mean that checkpoint n holds."""
        scores = {
            record["generation"]: float(record["mean"])
            for record in self.metrics()
            if record["generation"] in numbers and record.get("mean") is not None
        }
        return max(scores, key=scores.__getitem__, default=None)

    def _checkpoints(self) -> list[int]:
        """Generations of the checkpoints there are, incomplete ones among them."""
        stems = {path.stem for path in (self.path / "checkpoints").glob("*.*")}
        return sorted(int(stem) for stem in stems if stem.isdecimal())

    def load_checkpoint(self, like: Any, warn: Callable[[str], None] = lambda text: None) -> tuple[int, Any] | None:
        """The newest whole checkpoint, as generations done and search state; None where there is none.

        Args:
            like: a state of the same search.
            warn: told of every checkpoint that cannot be used and what is done instead.
        """
        numbers = self._checkpoints()
        for number in reversed(numbers):
            try:
                return number, self._read_checkpoint(number, like)
            except (OSError, ValueError, KeyError, TypeError, safetensors.SafetensorError) as error:
                reason = getattr(error, "strerror", None) or error
                instead = "the one before is tried" if number > numbers[0] else "the search begins anew"
                warn(f"warning: checkpoint {number:06d} cannot be used ({reason}): {instead}")
        return None

    def _read_checkpoint(self, number: int, like: Any) -> Any:
        """The search state in a checkpoint; raises what is wrong with it."""
        card = self.path / "checkpoints" / f"{number:06d}.json"
        record = read_json(card, "card")
        content = card.with_suffix(".safetensors").read_bytes()
        if record.get("generation") != number or record.get("sha256") != hashlib.sha256(content).hexdigest():
            raise ValueError("it does not match its card")
        found = safetensors.numpy.load(content)
        leaves, structure = jax.tree.flatten(like)
        if [found[name].shape for name in sorted(found)] != [np.shape(leaf) for leaf in leaves]:
            raise ValueError("it is of another search, or of other versions of this program or of evosax")
        restored = [jnp.asarray(found[f"{i:04d}"], leaf.dtype) for i, leaf in enumerate(leaves)]
        return jax.tree.unflatten(structure, restored)

    def __str__(self) -> str:
        return str(self.path)


def _record(line: bytes) -> dict[str, Any] | None:
    """A line of metrics.jsonl; None where it is not what a search writes."""
    try:
        record = parse_json(line.decode())
    except ValueError:
        return None
    if not isinstance(record, dict) or not isinstance(record.get("generation"), int) or record["generation"] < 0:
        return None
    return record if _are_numbers({**record, "cells": None}) and _are_cells(record.get("cells", {})) else None


def _are_cells(value: Any) -> bool:
    """Whether it is scores by name by cell, as a search on several cells writes them."""
    return isinstance(value, dict) and all(isinstance(cell, dict) and _are_numbers(cell) for cell in value.values())


def _are_numbers(values: dict[str, Any]) -> bool:
    return all(isinstance(value, int | float | None) for value in values.values())
