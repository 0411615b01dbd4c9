"""The search that a configuration describes: its program is put together here, whoever runs, times or compiles it."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import PyTree

from adapters.agents import load_card
from adapters.cells import Cell
from adapters.config import RunConfig
from adapters.objective_files import learned_start
from adapters.search import SearchProgram
from adapters.strategies import Strategy
from mpo_core.devices import world_mesh
from mpo_core.mirror.learned import split_learned, with_scale
from mpo_core.mirror.monotone_network import UNIT_FRAME, Frame

LEAST_WIDTH = 0.05
"""Of a frame, in nats a token: of agents that act alike."""


def learned_parts(config: RunConfig) -> tuple[PyTree, PyTree]:
    """Where a search starts: what it varies, and what all its members have in common."""
    search, frame = config.search, search_frame(config.tasks)
    start = learned_start(config.init, config.temporal, config.reference, frame)
    start = start if search.scale == 1 else with_scale(start, search.scale)
    return split_learned(start, search.learned, networks=search.networks)


def search_frame(tasks: Sequence[str]) -> Frame:
    """Where the units of the networks lie: from the original agent's log-probs of its own tokens to those of the
    target's, the mean over tasks; cards that do not know them are left out."""
    known = [pair for pair in (load_card(task).token_log_probs for task in tasks) if pair is not None]
    if not known:
        return UNIT_FRAME
    own, target = np.mean(known, axis=0)
    return Frame(float(own), max(float(own - target), LEAST_WIDTH))


def build_search(config: RunConfig, cells: Sequence[Cell], learned: tuple[PyTree, PyTree]) -> SearchProgram:
    """The program of a search over the devices of all processes.

    Args:
        cells: the combinations of task and data that are searched on.
        learned: as from `learned_parts`.

    Raises:
        UnusableSetting: the search's horizon is too short to tell a task's agents apart.
    """
    strategy = Strategy(config.strategy, learned[0], config.search.generations)
    problems = [cell.problem() for cell in cells]
    return SearchProgram(problems, config.search, strategy, learned, world_mesh())
