"""Reference marks beside a search's scores: what the tuned hand-written objectives scored under its conditions."""

from collections.abc import Sequence

import numpy as np

from mpo_experiments.settings.run_config import CellConfig
from mpo_experiments.tuning.tuned import load_tuned


def marks(config: CellConfig) -> dict[str, float]:
    """Scores on the tuning units by objective; none where they were tuned on other data, rows or inner loops.

    Raises:
        ValueError: the file of tuned settings is damaged.
    """
    cell = load_tuned(config.task, config.data)
    if cell is None or not cell.fits(config.data, config.rows, config.inner):
        return {}
    return {name: found.score for name, found in cell.objectives.items()}


def horizons(cells: Sequence[CellConfig]) -> str:
    """Over how many steps the tuned objectives of the marks were judged, as a legend says it.

    Raises:
        ValueError: as `marks`.
    """
    tuned = [load_tuned(cell.task, cell.data) for cell in cells]
    found = {cell.provenance.get("evaluation", {}).get("horizon") for cell in tuned if cell is not None}
    return "horizon " + " or ".join(map(str, sorted(found - {None})))


def mean_marks(cells: Sequence[CellConfig]) -> dict[str, float]:
    """The mean over the cells of a run, of those objectives that were tuned on all of them.

    Raises:
        ValueError: as `marks`.
    """
    found = [marks(cell) for cell in cells]
    shared = [name for name in found[0] if all(name in one for one in found)]
    return {name: float(np.mean([one[name] for one in found])) for name in shared}
