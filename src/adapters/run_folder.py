"""A run's folder: config.json, metrics.jsonl, checkpoints, the objective, figures (design section 4)."""

import datetime
import fcntl
import hashlib
import json
import secrets
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import safetensors.numpy

from adapters.config import RunConfig, build_config, read_config_file
from adapters.files import read_json, slug, write_json, write_whole

KEPT_CHECKPOINTS = 3


class RunFolder:
    """One run on disk. Every file is written whole or not at all; one process at a time holds the folder."""

    def __init__(self, path: Path):
        self.path = path
        self._lock = None

    @classmethod
    def create(cls, out: Path, config: RunConfig) -> "RunFolder":
        """A fresh folder `<task>-<data>-<time>-<suffix>` under `out`."""
        data = slug(config.data)
        now = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
        path = out / f"{config.task}-{data}-{now}-{secrets.token_hex(2)}"
        try:
            path.mkdir(parents=True)
        except OSError as error:
            raise ValueError(f"--out {out}: no run folder can be made there ({error.strerror})") from None
        return cls(path)

    @classmethod
    def open(cls, path: Path) -> tuple["RunFolder", RunConfig]:
        """An existing folder and what it was made from.

        Raises:
            ValueError: not a run folder.
        """
        if not (path / "config.json").is_file():
            raise ValueError(
                f"run folder {path}: has no config.json; a run folder is what `mpo meta-train` prints at its end"
            )
        provenance = read_json(path / "config.json", "config file").get("provenance", {})
        config = build_config(read_config_file(path / "config.json"))
        return cls(path), config.model_copy(update={"provenance": provenance})

    def lock(self) -> None:
        """Takes the folder for this process; it is free again when the process ends, however it ends.

        Raises:
            ValueError: another process has it.
        """
        self._lock = (self.path / ".lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ValueError(f"run folder {self.path}: another mpo process is writing to it") from None

    def unlock(self) -> None:
        """Gives the folder back."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def write_config(self, config: RunConfig) -> None:
        """config.json: all settings and the provenance."""
        write_json(self.path / "config.json", config.model_dump(mode="json"))

    def append_metrics(self, record: dict[str, Any]) -> None:
        """A line in metrics.jsonl."""
        with (self.path / "metrics.jsonl").open("a") as file:
            file.write(json.dumps(record) + "\n")

    def metrics(self) -> list[dict[str, Any]]:
        """The records of all generations."""
        path = self.path / "metrics.jsonl"
        if not path.exists():
            return []
        return [json.loads(line) for line in path.read_text().splitlines() if line.endswith("}")]

    def keep_metrics_before(self, generation: int) -> None:
        """Drops records that a resumed search will write again."""
        kept = [record for record in self.metrics() if record["generation"] < generation]
        write_whole(self.path / "metrics.jsonl", "".join(json.dumps(record) + "\n" for record in kept).encode())

    def save_checkpoint(self, generation: int, state: Any) -> None:
        """The search state after `generation` generations; the last few are kept."""
        # ascontiguousarray alone would make scalars arrays of one entry
        leaves = {
            f"{i:04d}": np.ascontiguousarray(leaf).reshape(np.shape(leaf))
            for i, leaf in enumerate(jax.tree.leaves(state))
        }
        content = safetensors.numpy.save(leaves)
        folder = self.path / "checkpoints"
        write_whole(folder / f"{generation:06d}.safetensors", content)
        write_json(
            folder / f"{generation:06d}.json",
            {"generation": generation, "sha256": hashlib.sha256(content).hexdigest()},
        )
        for old in sorted(folder.glob("*.json"))[:-KEPT_CHECKPOINTS]:
            old.unlink()
            old.with_suffix(".safetensors").unlink(missing_ok=True)

    def load_checkpoint(self, like: Any) -> tuple[int, Any] | None:
        """The newest whole checkpoint, as generations done and search state; None where there is none."""
        for card in sorted((self.path / "checkpoints").glob("*.json"), reverse=True):
            try:
                record = json.loads(card.read_text())
                content = card.with_suffix(".safetensors").read_bytes()
                if hashlib.sha256(content).hexdigest() != record["sha256"]:
                    continue
                found = safetensors.numpy.load(content)
            except (OSError, ValueError, KeyError):
                continue
            leaves, structure = jax.tree.flatten(like)
            if [found[name].shape for name in sorted(found)] == [np.shape(leaf) for leaf in leaves]:
                restored = [jnp.asarray(found[f"{i:04d}"], leaf.dtype) for i, leaf in enumerate(leaves)]
                return int(record["generation"]), jax.tree.unflatten(structure, restored)
        return None

    def __str__(self) -> str:
        return str(self.path)
