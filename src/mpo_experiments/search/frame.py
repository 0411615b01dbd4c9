"""The frame of a search from its data: a few pairs of each of its cells, and no look at the agents' card."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from mpo_core.data.generate_pairs import generate_pairs
from mpo_core.data.pair_bank import label_pairs
from mpo_core.mirror.monotone_network import Frame
from mpo_core.seeds import Purpose, Stream, stream_key
from mpo_core.settings import RowSettings
from mpo_experiments.datasets.description import token_log_probs
from mpo_experiments.objectives.frames import frame_of_data
from mpo_experiments.search.cells import LAST_BANK, SearchCell

PAIRS = 64
"""Of each cell, rolled out for the frame alone."""


def search_frame(cells: Sequence[SearchCell]) -> Frame:
    """The frame that the pairs of a search's cells show.

    Raises:
        ValueError: a cell's data have no finite log-prob.
    """
    return frame_of_data([_means(cell) for cell in cells])


def _means(cell: SearchCell) -> np.ndarray:
    """Mean token log-probs of the trajectories of some pairs."""
    testbed, size = cell.testbed, RowSettings(PAIRS, cell.config.rows.length)
    key = stream_key(cell.config.seed, Stream.SEARCH, LAST_BANK, Purpose.TRAINING)
    bank = generate_pairs(testbed.program, testbed.agents, cell.spec, size, key=key)
    rows = label_pairs(jax.tree.map(jnp.asarray, bank), cell.spec, key=key)
    return token_log_probs(rows, testbed.original).reshape(-1)
