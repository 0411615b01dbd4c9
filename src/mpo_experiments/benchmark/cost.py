"""What a benchmark will cost on this machine: rates are measured on a small comparison, then multiplied out."""

import dataclasses
import time

from mpo_core.evaluation.comparison import JOBS_A_CALL, Candidate, Comparison, unit_bytes, units_at_once
from mpo_core.losses.catalogue import make_objective
from mpo_core.memory import peak_process_bytes
from mpo_core.seeds import Stream
from mpo_core.settings import EvaluationSettings, RowSettings, updates_of
from mpo_experiments.benchmark.cell import BenchmarkSettings, CellKey
from mpo_experiments.tasks.registry import task_spec
from mpo_experiments.testbed import Testbed, comparison_settings
from mpo_experiments.tuning.tune import is_searched

CALIBRATION_ROWS = 8
COPIES = 3
"""A batch of units is held as rolled out, as labelled on the device, and on its way between the two."""
COMPILE_SECONDS = 90.0
"""A task's programs from a cold cache, more or less."""


@dataclasses.dataclass(frozen=True)
class Rates:
    """What this machine does a second."""

    updates: float
    steps: float


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
    evaluation = EvaluationSettings(episodes=testbed.program.envs // JOBS_A_CALL, horizon=2 * testbed.chunk)
    comparison = dataclasses.replace(
        comparison_settings(config, Stream.TUNING, 1, mode_actions=False),
        rows=RowSettings(max(CALIBRATION_ROWS, config.inner.minibatch), config.rows.length), evaluation=evaluation,
    )  # fmt: skip
    clock = _Clock()
    program = Comparison(testbed.program, testbed.agents, comparison)
    candidates = [Candidate(make_objective("orpo"))] * JOBS_A_CALL
    program.run(candidates)
    program.run(candidates, clock)
    updates = updates_of(JOBS_A_CALL, comparison.rows, comparison.inner)
    steps = JOBS_A_CALL * evaluation.episodes * evaluation.horizon
    return Rates(updates / clock.took("data", "train"), steps / clock.took("train", "judge"))


def cost_of(key: CellKey, settings: BenchmarkSettings, rates: Rates, testbed: Testbed) -> Cost:
    """The cost of a cell that has not been started, compilation left out; no range is extended after the last round."""
    config = settings.config(key)
    tuned = sum(settings.budget if is_searched(id, settings.tune) else 1 for id in settings.objectives)
    policies = tuned * settings.tuning_units + len(settings.objectives) * settings.units
    updates = updates_of(policies, config.rows, config.inner)
    episode_steps = config.report.evaluation.episodes * config.report.evaluation.horizon
    judged = policies + len(settings.objectives) * settings.units  # reporting has mode actions too
    data = (settings.tuning_units + settings.units) * 2 * config.rows.count * config.rows.length
    steps = judged * episode_steps + data
    minutes = (updates / rates.updates + steps / rates.steps) / 60
    units = units_at_once(testbed.task, config.rows, max(settings.units, settings.tuning_units))
    held = COPIES * units * unit_bytes(testbed.task, config.rows)
    return Cost(policies, steps, minutes, (held + peak_process_bytes()) / 2**30)


def describe_cost(keys: list[CellKey], settings: BenchmarkSettings) -> list[str]:
    """The cost of all cells, in lines for people; compiles and runs a small comparison on each task."""
    lines, minutes, memory = [], 0.0, 0.0
    for task in dict.fromkeys(key.task for key in keys):
        of_task = [key for key in keys if key.task == task]
        testbed = Testbed(task_spec(task).name, length=settings.config(of_task[0]).rows.length)
        rates = measure_rates(testbed, of_task[0], settings)
        lines.append(f"{task}: {rates.updates:,.0f} updates/s, {rates.steps:,.0f} environment steps/s, measured here")
        for key in of_task:
            cost = cost_of(key, settings, rates, testbed)
            lines.append(
                f"  {key}: {cost.policies} policies, {cost.steps / 1e6:.1f}M environment steps, {cost.minutes:.1f} min"
            )
            minutes, memory = minutes + cost.minutes, max(memory, cost.gibibytes)
        minutes += COMPILE_SECONDS / 60
    if settings.method == "halving":
        lines.append("More where the best setting lies at the edge of its range: then all losses are searched longer")
    lines.append(
        f"{len(keys)} cells: about {minutes:.0f} min, compilation included, and {memory:.1f} GiB of host memory"
    )
    return lines


class _Clock:
    """Notes when each part of a comparison was last advanced."""

    def __init__(self):
        self._last: dict[str, float] = {}

    def __call__(self, what: str, amount: int) -> None:
        self._last[what] = time.monotonic()

    def took(self, before: str, part: str) -> float:
        """Seconds of a part that came right after another."""
        return self._last[part] - self._last[before]
