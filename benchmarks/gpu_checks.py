"""What is promised of accelerators, measured on the one at hand in under eight minutes: figures as JSON and a table.

Run: python -m benchmarks.gpu_checks [--out docs/results/gpu] [--only comparisons inner ...] [--minutes 8]
A section whose time would not suffice any more is left out, and said to be. MPO_BENCH=tiny tries the code on CPUs.
docs/performance.md says how a machine without network gets the package.
"""

import argparse
import dataclasses
import datetime
import json
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path

import benchmarks  # isort: skip  # devices and compilation cache, before anything starts JAX

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.gpu_precision import paired_scores
from benchmarks.micro_matmul import micro_flops
from benchmarks.sizes import TASK, TINY, Bench, random_policy, random_rows
from benchmarks.timing import seconds_of
from mpo_core.devices import population_mesh
from mpo_core.evaluation.candidates import Candidate
from mpo_core.evaluation.comparison import Comparison, ComparisonSettings
from mpo_core.evaluation.jobs import Jobs, make_units, train_jobs
from mpo_core.evaluation.side_by_side import arrange
from mpo_core.losses.catalogue import make_objective
from mpo_core.seeds import Stream
from mpo_core.settings import InnerLoopSettings
from mpo_experiments.benchmark.cell import DEFAULT_IDS, BenchmarkSettings, CellKey
from mpo_experiments.benchmark.folder import BenchmarkFolder
from mpo_experiments.benchmark.run import run_benchmark
from mpo_experiments.device_rates import matmul_table, steps_by_envs
from mpo_experiments.plugins import load_plugins
from mpo_experiments.progress import SilentReporter
from mpo_experiments.provenance import devices
from mpo_experiments.settings.run_config import build_single_run
from mpo_experiments.testbed import comparison_settings
from mpo_experiments.text_table import TextTable
from mpo_experiments.versions import versions

assert benchmarks
BEFORE = 14_733
"""Updates a second of policies trained one at a time, measured on an H200 before comparisons trained side by side."""
MATRICES = (64, 128) if TINY else (2048, 4096, 8192)
ENVS = (8, 16) if TINY else (1024, 2048, 4096, 8192, 16384)
MEMBERS = (4,) if TINY else (64, 256, 1024)
ROWS, LENGTH = (8, 50) if TINY else (1280, 1000)
CANDIDATES, UNITS = (3, 2) if TINY else (16, 4)
GENERATIONS = 2 if TINY else 3


@dataclasses.dataclass(frozen=True)
class Measured:
    """A figure, and what is wanted of it where something is."""

    section: str
    what: str
    value: float
    unit: str = ""
    wanted: float | None = None
    at_most: bool = False
    """Whether the figure is to stay under what is wanted; else it is to reach it."""
    detail: str = ""

    @property
    def wish(self) -> str:
        """What is wanted, in a table."""
        return "" if self.wanted is None else f"{'<=' if self.at_most else '>='} {self.wanted:,g}"


@dataclasses.dataclass(frozen=True)
class Checks:
    """What the sections share."""

    task: str

    @cached_property
    def bench(self) -> Bench:
        """The paper preset, its pairs refreshed every generation."""
        return Bench(build_single_run({"task": self.task, "preset": "smoke" if TINY else "paper"}))

    def comparison(self, units: int, **changes) -> Comparison:
        """A comparison at the size of the preset."""
        return Comparison(self.bench.testbed.program, self.bench.testbed.agents, self.settings(units, **changes))

    def settings(self, units: int, **changes) -> ComparisonSettings:
        """Of it."""
        base = comparison_settings(self.bench.config, Stream.SELECTION, units, mode_actions=False)
        return dataclasses.replace(base, **changes)

    @property
    def updates(self) -> int:
        """Of an epoch."""
        return self.bench.config.rows.count // self.bench.config.inner.minibatch


def device(checks: Checks) -> Iterator[Measured]:
    """Rates of the device by itself."""
    for name, rate in matmul_table(MATRICES).items():
        yield Measured("device", f"matrix product {name}", rate / 1e3, "TFLOP/s")
    testbed = checks.bench.testbed
    for envs, rate in steps_by_envs(testbed.task, testbed.original, ENVS, 5 if TINY else 100).items():
        yield Measured("device", f"episodes side by side: {envs}", rate, "steps/s", 1.5e6 if envs == 4096 else None)


def comparisons(checks: Checks) -> Iterator[Measured]:
    """Policies of a comparison: one at a time, as before, and side by side."""
    inner = dataclasses.replace(checks.bench.config.inner, epochs=1)
    candidates = [Candidate(make_objective("simpo", beta=float(beta))) for beta in np.linspace(1, 10, CANDIDATES)]
    rates, units = {}, None
    for name, at_once in (("side by side", 0), ("one at a time", 1)):
        comparison = checks.comparison(UNITS, inner=inner, jobs_at_once=at_once)
        units = comparison.make_units(range(UNITS)) if units is None else units
        if TINY and not at_once:
            comparison = checks.comparison(UNITS, inner=inner, jobs_at_once=4)
        some = candidates if not at_once else candidates[: max(1, CANDIDATES // 8)]
        comparison.train(some, units, UNITS)  # compiles
        seconds = seconds_of(lambda own=comparison, some=some, units=units: own.train(some, units, UNITS))
        rates[name] = len(some) * UNITS * checks.updates / seconds
        yield Measured("comparisons", name, rates[name], "updates/s", None if at_once else 8 * BEFORE)
    yield Measured("comparisons", "side by side / one at a time", rates["side by side"] / rates["one at a time"])


def inner(checks: Checks) -> Iterator[Measured]:
    """Inner loops of a population on one unit: by members, width, precision and kernel."""
    plans = [(64, members, "default", "xla") for members in MEMBERS]
    plans += [(64, MEMBERS[-1], precision, "xla") for precision in ("highest", "bfloat16")]
    if not TINY:
        plans += [(64, 256, "default", "pallas"), (64, 256, "bfloat16", "pallas")]
        plans += [(256, 64, "default", "xla"), (256, 64, "bfloat16", "xla")]
    for width, members, precision, kernel in plans:
        how = f"width {width}, {members} members, {precision}, {kernel}"
        wanted = 30.0 if (width, members) == (64, MEMBERS[-1]) else None
        try:
            rate = inner_rate(width, members, InnerLoopSettings(epochs=1, precision=precision, kernel=kernel))
        except Exception as error:  # a kernel that a device does not take is a finding, not the end
            yield Measured("inner", how, float("nan"), "TFLOP/s", wanted, detail=" ".join(str(error).split())[:160])
            continue
        yield Measured(
            "inner", how, rate / 1e12, "TFLOP/s", wanted, detail=f"{rate / update_flops(width):,.0f} updates/s"
        )


def update_flops(width: int) -> float:
    """Of one update's products."""
    return micro_flops((17, width, width, 6), 2 * 2 * LENGTH)


def inner_rate(width: int, members: int, settings: InnerLoopSettings) -> float:
    """Operations a second of inner loops side by side on one device, an epoch of rows whose numbers mean nothing."""
    policy, mesh = random_policy(width), population_mesh(1)
    rows = jax.tree.map(lambda leaf: leaf[None], random_rows(ROWS, LENGTH, 17, 6))
    units = jax.jit(lambda rows: make_units(policy, rows, jax.random.split(jax.random.key(0), 1), settings))(rows)
    objective = jax.tree.map(lambda leaf: jnp.stack([leaf] * members), make_objective("dpo"))
    nothing = jax.tree.map(lambda _: None, objective)
    block = arrange(np.zeros(members, int), 1, members).block
    jobs = Jobs(objective, jnp.zeros(members, jnp.int32))
    program = jax.jit(lambda jobs, units: train_jobs(jobs, nothing, units, policy, settings, mesh, block)[0])
    seconds_of(lambda: program(jobs, units))
    seconds = min(seconds_of(lambda: program(jobs, units)) for _ in range(2))
    return members * (ROWS // settings.minibatch) * update_flops(width) / seconds


def rollouts(checks: Checks) -> Iterator[Measured]:
    """Pairs of trajectories, as searches and comparisons roll them out, on their way to the host and all."""
    cell, size = checks.bench.cell, checks.bench.config.search.bank_pairs
    steps = 2 * size * checks.bench.config.rows.length
    cell.bank(0, SilentReporter())
    envs = checks.bench.testbed.program.envs
    seconds = seconds_of(lambda: cell.bank(1, SilentReporter()))
    yield Measured("rollouts", "pairs of one bank", steps / seconds, "steps/s", detail=f"blocks of {envs}")
    comparison = checks.comparison(UNITS)
    comparison.make_units(range(UNITS))  # compiles
    seconds = seconds_of(lambda: comparison.make_units(range(UNITS)).reference)
    yield Measured("rollouts", f"data of {UNITS} units", UNITS * steps / seconds, "steps/s", 1.5e6)


def usual(checks: Checks) -> Iterator[Measured]:
    """A quick generation and the usual way of writing it, in turn on this device."""
    from benchmarks.shows import generation_seconds

    if checks.task != TASK:
        return
    found = generation_seconds(rounds=2)
    detail = f"{found['ours']:.2f} s; parameters differ by {found['difference']:.1e}"
    yield Measured("usual", "usual way / ours", found["usual"] / found["ours"], "", 2.0, detail=detail)


def paper(checks: Checks) -> Iterator[Measured]:
    """Generations of the preset, pairs rolled out anew for each, and what all of them would take."""
    bench = checks.bench
    state, took = bench.search.start(), []
    for generation in range(GENERATIONS + 1):
        began = time.perf_counter()
        bank = bench.search.place((bench.cell.bank(generation, SilentReporter()),))
        state, scores = bench.search.step(state, bench.search.place(jnp.int32(generation)), bank)
        jax.block_until_ready(scores.members)
        took.append(time.perf_counter() - began)
    each = float(np.median(took[1:]))
    yield Measured("paper", f"a generation of {bench.search.jobs} jobs", each, "s", detail=f"the first {took[0]:.0f} s")
    hours = each * bench.config.search.generations / 3600
    yield Measured("paper", f"{bench.config.search.generations} generations", hours, "h", 1.0, at_most=True)


def precision(checks: Checks) -> Iterator[Measured]:
    """Scores of the same objectives on the same units, products computed in each way: paired differences."""
    units = 2 if TINY else 20
    for what, value, detail in paired_scores(checks.bench.testbed, checks.settings(units)):
        yield Measured("precision", what, value, "normalised score", detail=detail)


def cell(checks: Checks) -> Iterator[Measured]:
    """A paper-size cell of a benchmark, from its first rollout to its table."""
    paper = BenchmarkSettings(DEFAULT_IDS, budget=16, tuning_units=3, units=20, preset="paper", seed=907)
    settings = BenchmarkSettings(("sft", "dpo"), 2, 2, 2, "smoke", 907) if TINY else paper
    with tempfile.TemporaryDirectory() as out:
        began = time.perf_counter()
        folder = BenchmarkFolder(Path(out))
        (found,) = run_benchmark([CellKey(checks.task, "mixed:0.75")], settings, folder, SilentReporter())
        minutes = (time.perf_counter() - began) / 60
    detail = ", ".join(f"{part} {seconds:.0f} s" for part, seconds in found.seconds.items())
    yield Measured(
        "cell", f"{len(settings.objectives)} losses, {settings.units} units", minutes, "min", 4.0, True, detail
    )


SECTIONS: dict[str, tuple[Callable[[Checks], Iterator[Measured]], float]] = {
    "device": (device, 60), "rollouts": (rollouts, 30), "comparisons": (comparisons, 30), "inner": (inner, 70),
    "usual": (usual, 40), "paper": (paper, 90), "cell": (cell, 170), "precision": (precision, 60),
}  # fmt: skip
"""In the order in which they matter, each with the seconds that it may take on an H100."""


def run(checks: Checks, names: list[str], minutes: float) -> tuple[list[Measured], dict[str, str]]:
    """Figures of the sections that there was time for, and why others have none."""
    began, found, left_out = time.monotonic(), [], {}
    for name in names:
        section, needs = SECTIONS[name]
        if time.monotonic() - began + needs > 60 * minutes:
            left_out[name] = f"no time left: it may take {needs:.0f} s"
            continue
        try:
            for one in section(checks):
                found.append(one)
                print(
                    f"{time.monotonic() - began:5.0f} s  {one.section}: {one.what}: {one.value:.4g} {one.unit}",
                    flush=True,
                )
        except Exception:  # the other sections are worth having
            left_out[name] = traceback.format_exc(limit=-3)
            print(left_out[name], file=sys.stderr, flush=True)
    return found, left_out


def table(found: list[Measured]) -> TextTable:
    """A row a figure."""
    rows = tuple(
        (f"{one.section}: {one.what}", f"{one.value:,.3g}" if one.value < 1e4 else f"{one.value:,.0f}", one.unit,
         one.wish, one.detail) for one in found
    )  # fmt: skip
    return TextTable("Measured on an accelerator", ("what", "measured", "unit", "wanted", "detail"), rows, "")


def main() -> None:
    """Measures, prints, writes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("docs/results/gpu"), help="folder of the two files")
    parser.add_argument("--only", nargs="*", choices=SECTIONS, default=list(SECTIONS), help="sections, in this order")
    parser.add_argument("--minutes", type=float, default=8.0)
    parser.add_argument("--task", default=TASK)
    given = parser.parse_args()
    load_plugins()
    found, left_out = run(Checks(given.task), given.only, given.minutes)
    command = " ".join(["python -m benchmarks.gpu_checks", *sys.argv[1:]])
    record = {
        "command": command, "date": datetime.date.today().isoformat(), "versions": versions(), "devices": devices(),
        "measured": [dataclasses.asdict(one) for one in found], "left_out": left_out,
    }  # fmt: skip
    kind = str(record["devices"]["kind"]).lower().replace(" ", "-")
    given.out.mkdir(parents=True, exist_ok=True)
    (given.out / f"checks-{kind}.json").write_text(json.dumps(record, indent=1))
    said = f"`{command}`, {record['date']}, {record['devices']['kind']}, jax {record['versions']['jax']}.\n\n"
    missing = "".join(f"\nNot measured: {name} ({why.splitlines()[-1]}).\n" for name, why in left_out.items())
    (given.out / f"checks-{kind}.md").write_text(said + table(found).markdown() + "\n" + missing)
    print(table(found).markdown())


if __name__ == "__main__":
    main()
