"""Pairs of trajectories of units in a folder, so that benchmarks on the same units roll them out once.

A file is named by a hash of all that its trajectories follow from. Labels are not among it: kinds of data that differ
in their labels alone, such as `base` and `noisy:0.2`, share their files.
"""

import hashlib
from pathlib import Path

import numpy as np

from adapters.storage.pair_files import read_pairs, write_pairs
from mpo_core.data.pair_bank import PairBank, bank_shapes
from mpo_core.data.specification import kinds_of_rows
from mpo_core.evaluation.comparison import ComparisonSettings, RollOut
from mpo_core.rollout.task import Task
from mpo_experiments.agents.lookup import load_card
from mpo_experiments.provenance import agents_hash, hash_of, simulation


class KeptPairs:
    """The pairs of the units of a comparison.

    Args:
        folder: the files of any number of tasks, sizes and seeds; may not be there yet.
        token_width: of the agents, in action units.
    """

    def __init__(self, folder: Path, task: Task, token_width: float, settings: ComparisonSettings):
        self._folder, self._task, self._settings = folder, task.name, settings
        self._shapes = bank_shapes(task, settings.rows)
        data = str(settings.spec)
        kinds = np.asarray(kinds_of_rows(settings.spec, settings.rows.count), np.int32)
        self._follows_from = [
            task.name, task.backend, str(settings.rows), str(settings.seed), settings.stream.name,
            hashlib.sha256(kinds.tobytes()).hexdigest(), agents_hash(task.name, data), load_card(task.name).activation,
            repr(token_width), *simulation().values(),
        ]  # fmt: skip

    def __call__(self, units: list[int], make: RollOut) -> list[PairBank]:
        """The pairs of some units: those that are there, and the others, each kept as soon as it is made."""
        found = {unit: pairs for unit in units if (pairs := read_pairs(self.path(unit), self._shapes)) is not None}
        missing = [unit for unit in units if unit not in found]
        for unit, pairs in zip(missing, make(missing) if missing else (), strict=True):
            write_pairs(self.path(unit), pairs)
            found[unit] = pairs
        return [found[unit] for unit in units]

    def path(self, unit: int) -> Path:
        """The file of a unit."""
        return self._folder / f"{self._task}-{unit}-{hash_of([*self._follows_from, str(unit)])[:16]}.npz"
