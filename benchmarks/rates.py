"""Rates of the bundled tasks for each GFLOP/s of this machine, behind `mpo benchmark --dry-run`.

    python -m benchmarks.rates

A task's rates and the rate of a float32 matrix product are measured in turn in one process, so that a busy hour slows
both alike.
"""

from statistics import median

from adapters.storage.files import write_json
from mpo_experiments.benchmark.cell import BenchmarkSettings, CellKey
from mpo_experiments.benchmark.cost import RECORDED, measure_rates
from mpo_experiments.device_rates import matmul_gflops
from mpo_experiments.provenance import devices
from mpo_experiments.tasks.registry import TASKS
from mpo_experiments.testbed import Testbed
from mpo_experiments.versions import versions

ROUNDS = 2


def task_rates(name: str) -> dict[str, float]:
    """Steps of rows trained on, and environment steps, a second and GFLOP/s; medians."""
    settings, key = BenchmarkSettings(), CellKey(name, "base")
    config = settings.config(key)
    testbed = Testbed(name, length=config.rows.length)
    found: dict[str, list[float]] = {"row_steps": [], "steps": []}
    for _ in range(ROUNDS):
        before = matmul_gflops()
        rates = measure_rates(testbed, key, settings)
        gflops = (before + matmul_gflops()) / 2
        found["row_steps"].append(rates.updates * 2 * config.inner.minibatch * config.rows.length / gflops)
        found["steps"].append(rates.steps / gflops)
    return {what: float(f"{median(values):.4g}") for what, values in found.items()}


if __name__ == "__main__":
    rates = {}
    for task in TASKS:
        rates[task] = task_rates(task)
        print(task, rates[task], flush=True)
    told = {"command": "python -m benchmarks.rates", "versions": versions(), "devices": devices()}
    write_json(RECORDED, told | {"tasks": rates})
