"""Return curves of several objectives, kept as they are made: an interrupted `mpo show --train` goes on from there."""

import hashlib
from pathlib import Path

import jax
import numpy as np
from jaxtyping import Float

from adapters.storage.files import read_json, write_json
from mpo_core.evaluation.comparison import ComparisonSettings
from mpo_experiments.progress import Reporter
from mpo_experiments.provenance import agents_hash, hash_of, simulation
from mpo_experiments.show.subject import Shown
from mpo_experiments.testbed import Testbed

FILE_NAME = "curves.json"


def return_curves(
    testbed: Testbed, shown: list[Shown], settings: ComparisonSettings, reporter: Reporter, folder: Path
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
        key = _key(testbed, one, settings)
        if key not in kept:
            reporter.note(f"Return curve of {one.name}")
            curve = testbed.learning_curve(one.candidate, settings, reporter)
            kept[key] = testbed.normalised(curve.return_, settings.evaluation).tolist()
            write_json(path, kept)
        curves.append(np.array(kept[key], float))
    return curves


def _kept(path: Path) -> dict[str, list[list[float]]]:
    """Curves from earlier calls; a file that cannot be read is as good as none."""
    try:
        return read_json(path, "return curves")
    except ValueError:
        return {}


def _key(testbed: Testbed, one: Shown, settings: ComparisonSettings) -> str:
    """Names everything that a curve follows from."""
    leaves = b"".join(np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(one.objective))
    objective = hashlib.sha256(leaves).hexdigest() + str(jax.tree.structure(one.objective))
    agents = agents_hash(testbed.name, str(settings.spec))
    rate = [] if one.learning_rate is None else [repr(one.learning_rate)]
    known = (testbed.name, agents, repr(testbed.token_width), repr(settings), str(one.sft_epochs), *rate)
    return hash_of([objective, *known, *simulation().values()])
