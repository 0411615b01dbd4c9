"""Pairs of trajectories as npz files of plain arrays; a file that is damaged or of other shapes counts as not there."""

import dataclasses
from pathlib import Path

import jax
import numpy as np

from adapters.storage.dataset_files import npz_bytes, read_arrays
from adapters.storage.files import write_whole
from mpo_core.data.pair_bank import PairBank


def write_pairs(path: Path, pairs: PairBank) -> None:
    """Writes pairs to a file, whole or not at all.

    Raises:
        OSError: no room, no right; it names the file.
    """
    write_whole(path, npz_bytes({name: np.asarray(leaf) for name, leaf in _arrays(pairs).items()}))


def read_pairs(path: Path, shapes: PairBank) -> PairBank | None:
    """The pairs in a file; None if it is not there, damaged, or of other shapes or types.

    Args:
        shapes: shape and type of every array, as of `bank_shapes`.
    """
    found = read_arrays(path)
    wanted = _arrays(shapes)
    if found is None or found.keys() != wanted.keys():
        return None
    fits = all((found[name].shape, found[name].dtype) == (one.shape, one.dtype) for name, one in wanted.items())
    return PairBank(**found) if fits else None


def _arrays(pairs: PairBank) -> dict[str, np.ndarray | jax.ShapeDtypeStruct]:
    return {field.name: getattr(pairs, field.name) for field in dataclasses.fields(pairs)}
