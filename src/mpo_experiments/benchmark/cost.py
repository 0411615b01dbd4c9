"""What a benchmark will cost on this machine: rates of the machine, multiplied out.

Rates are *recorded* ones, scaled by how fast this machine multiplies matrices (seconds to find out, an estimate), or
*measured* on a small comparison (exact, but each task's programs are compiled first).
"""

import dataclasses
import functools
import time
from pathlib import Path

import jax

from adapters.storage.files import read_json
from mpo_core.devices import is_cpu
from mpo_core.evaluation.candidates import JOBS_A_CALL, Candidate
from mpo_core.evaluation.comparison import Comparison, unit_bytes
from mpo_core.losses.catalogue import make_objective
from mpo_core.memory import peak_process_bytes, units_at_once, units_to_keep
from mpo_core.seeds import Stream
from mpo_core.settings import EvaluationSettings, RowSettings, updates_of
from mpo_experiments.benchmark.cell import BenchmarkSettings, CellKey
from mpo_experiments.benchmark.folder import BenchmarkFolder, lacking
from mpo_experiments.profiling import matmul_gflops
from mpo_experiments.tasks.registry import base_name, task_spec
from mpo_experiments.testbed import Testbed, comparison_settings
from mpo_experiments.tuning.tune import is_searched

CALIBRATION_ROWS = 8
ACCELERATOR_JOBS = 64
"""Policies that an accelerator is measured with: it trains them side by side."""
COPIES = 3
"""A batch of units is held as rolled out, as labelled on the device, and on its way between the two."""
KEPT_COPIES = 2
"""Rows that are kept for their next use: as labelled, and as prepared for updates."""
COMPILE_SECONDS = 90.0
"""A task's programs from a cold cache, more or less."""


RECORDED = Path(__file__).parent.parent / "bundled" / "rates.json"
"""Written by `python -m benchmarks.rates`: a task's rates for each GFLOP/s of a float32 matrix product."""


@dataclasses.dataclass(frozen=True)
class Rates:
    """What this machine does a second."""

    updates: float
    steps: float
    how: str = "measured here"


@dataclasses.dataclass(frozen=True)
class Cost:
    """What a cell takes."""

    policies: int
    steps: int
    minutes: float
    gibibytes: float


def measure_rates(testbed: Testbed, key: CellKey, settings: BenchmarkSettings) -> Rates:
    """Updates and environment steps a second on a task, after compilation."""
    config = settings.config(key)
    jobs = JOBS_A_CALL if is_cpu(testbed.program.mesh) else ACCELERATOR_JOBS
    evaluation = EvaluationSettings(episodes=testbed.program.envs // jobs, horizon=2 * testbed.chunk)
    comparison = dataclasses.replace(
        comparison_settings(config, Stream.TUNING, 1, mode_actions=False),
        rows=RowSettings(max(CALIBRATION_ROWS, config.inner.minibatch), config.rows.length), evaluation=evaluation,
    )  # fmt: skip
    clock = _Clock()
    program = Comparison(testbed.program, testbed.agents, comparison)
    candidates = [Candidate(make_objective("orpo"))] * jobs
    program.run(candidates)
    program.run(candidates, clock)
    updates = updates_of(jobs, comparison.rows, comparison.inner)
    steps = jobs * evaluation.episodes * evaluation.horizon
    return Rates(updates / clock.took("data", "train"), steps / clock.took("train", "judge"))


@dataclasses.dataclass(frozen=True)
class Rest:
    """What a cell still takes: its objectives, less what an interrupted run has kept."""

    settings: BenchmarkSettings
    tuned: bool = False
    """Whether all settings are chosen."""
    tuning_scores: int = 0
    reporting_scores: int = 0
    """Policies that were judged."""


def cost_of(key: CellKey, rest: Rest, rates: Rates, testbed: Testbed) -> Cost:
    """The cost of a cell's rest, compilation left out; no range is extended after the last round."""
    settings = rest.settings
    config, borrowed = settings.config(key), _borrowed(key, settings)
    searched = [id for id in settings.objectives if id not in borrowed]
    tried = 0 if rest.tuned else sum(settings.budget if is_searched(id, settings.tune) else 1 for id in searched)
    tuning = max(0, tried * settings.tuning_units - rest.tuning_scores)
    reporting = max(0, len(settings.objectives) * settings.units - rest.reporting_scores)
    policies = tuning + reporting
    updates = updates_of(policies, config.rows, config.inner)
    episode_steps = config.report.evaluation.episodes * config.report.evaluation.horizon
    judged = policies + reporting  # reporting judges mode actions, too
    units = settings.units + (settings.tuning_units if tuning else 0)
    data = units * 2 * config.rows.count * config.rows.length
    steps = judged * episode_steps + data
    minutes = (updates / rates.updates + steps / rates.steps) / 60
    size = unit_bytes(testbed.task, config.rows)
    most = max(settings.units, settings.tuning_units)
    held = (COPIES * units_at_once(size, most) + KEPT_COPIES * min(units_to_keep(size), most)) * size
    return Cost(policies, steps, minutes, (held + peak_process_bytes()) / 2**30)


def _borrowed(key: CellKey, settings: BenchmarkSettings) -> set[str]:
    """The objectives whose settings are there already."""
    if settings.tuned_from is None:
        return set()
    cell = BenchmarkFolder(Path(settings.tuned_from)).borrowed(key, settings)
    return {entry.id for entry in cell.objectives if entry.sha256 is None}


def still_to_run(keys: list[CellKey], settings: BenchmarkSettings, folder: BenchmarkFolder) -> dict[CellKey, Rest]:
    """The cells that are not finished, each with the objectives that it lacks, and what it has of them.

    Scores of another search of the same objectives' settings count, too.

    Raises:
        ValueError: one is damaged, or was made with other settings.
    """
    left = {}
    for key in keys:
        begun = folder.begun(key, settings)
        ids = settings.objectives if begun is None else lacking(begun, settings)
        if ids:
            log = folder.log(key, settings)
            left[key] = Rest(
                dataclasses.replace(settings, objectives=ids),
                begun is None and folder.tuned(key, settings, ids) is not None,
                log.count("tuning", ids, settings.tuning_units), log.count("reporting", ids, settings.units),
            )  # fmt: skip
    return left


def recorded_rates(key: CellKey, settings: BenchmarkSettings) -> Rates | None:
    """Rates of a task from the recorded ones; None where there are none: a task of one's own, or an accelerator.

    Rows are taken to cost in proportion to their steps, and a simulator to gain from a machine as much as a matrix
    product does: within about a factor of two.
    """
    found = _recorded().get(base_name(key.task))
    if found is None or jax.default_backend() != "cpu":
        return None
    config, gflops = settings.config(key), _gflops()
    row_steps = 2 * config.inner.minibatch * config.rows.length
    how = f"estimated from recorded rates and {gflops:.0f} GFLOP/s measured here"
    return Rates(found["row_steps"] * gflops / row_steps, found["steps"] * gflops, how)


@functools.cache
def _recorded() -> dict[str, dict[str, float]]:
    return read_json(RECORDED, "file of rates")["tasks"]


@functools.cache
def _gflops() -> float:
    return matmul_gflops()


def describe_cost(left: dict[CellKey, Rest], *, measure: bool = False) -> list[str]:
    """The cost of cells, in lines for people.

    Args:
        left: what is still to be run in each.
        measure: compile and run a small comparison on each task rather than go by recorded rates.
    """
    if not left:
        return ["Nothing is left to run: all of these cells are finished"]
    lines, minutes, memory, measured = [], 0.0, 0.0, True
    for task in dict.fromkeys(key.task for key in left):
        of_task = [key for key in left if key.task == task]
        settings = left[of_task[0]].settings
        testbed = Testbed(task_spec(task).name, length=settings.config(of_task[0]).rows.length)
        rates = None if measure else recorded_rates(of_task[0], settings)
        rates = rates or measure_rates(testbed, of_task[0], settings)
        lines.append(f"{task}: {rates.updates:,.0f} updates/s, {rates.steps:,.0f} environment steps/s, {rates.how}")
        for key in of_task:
            cost = cost_of(key, left[key], rates, testbed)
            lines.append(
                f"  {key}: {cost.policies} policies, {cost.steps / 1e6:.1f}M environment steps, {cost.minutes:.1f} min"
            )
            minutes, memory = minutes + cost.minutes, max(memory, cost.gibibytes)
        minutes, measured = minutes + COMPILE_SECONDS / 60, measured and rates.how == Rates.how
    if any(_may_be_extended(rest) for rest in left.values()):
        lines.append("More where the best setting lies at the edge of its range: then all losses are searched longer")
    cells = "1 cell" if len(left) == 1 else f"{len(left)} cells"
    lines.append(f"{cells}: about {minutes:.0f} min, compilation included, and {memory:.1f} GiB of host memory")
    if not measured:
        lines.append("An estimate, within about a factor of two on an idle machine; --measure compiles and measures")
    return lines


def _may_be_extended(rest: Rest) -> bool:
    return rest.settings.method == "halving" and rest.settings.tuned_from is None and not rest.tuned


class _Clock:
    """Notes when each part of a comparison was last advanced."""

    def __init__(self):
        self._last: dict[str, float] = {}

    def __call__(self, what: str, amount: int) -> None:
        self._last[what] = time.monotonic()

    def took(self, before: str, part: str) -> float:
        """Seconds of a part that came right after another."""
        return self._last[part] - self._last[before]
