"""Return curves of several objectives, kept as they are made: an interrupted `mpo show --train` goes on from there."""

import hashlib
from pathlib import Path

import jax
import numpy as np
from jaxtyping import Float

from adapters.arena import Arena
from adapters.files import read_json, write_json
from adapters.provenance import agents_hash, hash_of, simulation
from adapters.show.subject import Shown
from adapters.watch import Watch
from mpo_core.race import Entrant, RaceSettings

FILE_NAME = "curves.json"


def return_curves(
    arena: Arena, shown: list[Shown], settings: RaceSettings, watch: Watch, folder: Path
) -> list[Float[np.ndarray, "unit epoch"]]:
    """Normalised score of the policy after every epoch, as `mpo train` has it, on the same units for all.

    Args:
        folder: where curves are kept; those that are there already are not made again.

    Raises:
        OSError: they cannot be kept.
    """
    path = folder / FILE_NAME
    kept, curves = _kept(path), []
    for one in shown:
        key = _key(arena, one, settings)
        if key not in kept:
            watch.note(f"Return curve of {one.name}")
            curve = arena.learning_curve(Entrant(one.objective, one.sft_epochs), settings, watch)
            kept[key] = arena.normalised(curve.return_, settings.evaluation).tolist()
            write_json(path, kept)
        curves.append(np.array(kept[key], float))
    return curves


def _kept(path: Path) -> dict[str, list[list[float]]]:
    """Curves from earlier calls; a file that cannot be read is as good as none."""
    try:
        return read_json(path, "return curves")
    except ValueError:
        return {}


def _key(arena: Arena, one: Shown, settings: RaceSettings) -> str:
    """Names everything that a curve follows from."""
    leaves = b"".join(np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(one.objective))
    objective = hashlib.sha256(leaves).hexdigest() + str(jax.tree.structure(one.objective))
    known = (arena.name, agents_hash(arena.name), repr(arena.token_width), repr(settings), str(one.sft_epochs))
    return hash_of([objective, *known, *simulation().values()])
