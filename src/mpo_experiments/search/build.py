"""The search that a configuration describes: its program is put together here, whoever runs, times or compiles it."""

from collections.abc import Sequence

from jaxtyping import PyTree

from adapters.evosax.strategy import Strategy
from mpo_core.devices import world_mesh
from mpo_core.mirror.learned import split_learned, with_scale
from mpo_experiments.objectives.frames import frame_of
from mpo_experiments.objectives.learned import learned_start
from mpo_experiments.search.cells import SearchCell
from mpo_experiments.search.program import SearchProgram
from mpo_experiments.settings.run_config import RunConfig


def learned_parts(config: RunConfig) -> tuple[PyTree, PyTree]:
    """Where a search starts: what it varies, and what all its members have in common.

    A file keeps its own frame and scale, and its reference policy unless told otherwise; else there is one.
    """
    search, frame = config.search, frame_of(config.tasks)
    own = config.init.is_saved
    reference = config.reference if own or config.reference is not None else True
    start = learned_start(config.init, config.temporal, reference, frame)
    start = start if own or search.scale == 1 else with_scale(start, search.scale)
    return split_learned(start, search.learned, networks=search.networks)


def build_search(config: RunConfig, cells: Sequence[SearchCell], learned: tuple[PyTree, PyTree]) -> SearchProgram:
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
