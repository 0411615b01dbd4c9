"""What is promised of speed, measured here and now: one command, a table, each promise by itself if wanted.

Run: python -m benchmarks.shows [1 2 3 4 5 6 7] [--json FILE]   (on an idle machine; some ten minutes for all; 7 is
of accelerators, and there 3 and 7 are what is measured)
"""

import argparse
import dataclasses
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from adapters.evosax.strategy import Strategy
from adapters.logging.scalars import Scalars
from benchmarks.inner_loop_rates import inner_loop_rates
from benchmarks.rollouts import pinned_rollouts, plain_rollout, sharded_rollout
from benchmarks.sizes import LANGUAGE_TASK, TASK, TINY, Bench, quick_bench
from benchmarks.starts import command_seconds, start_seconds
from benchmarks.timing import alternating, seconds_of
from benchmarks.usual_language import usual_language_generation, usual_language_training
from benchmarks.usual_way import usual_generation, usual_training
from mpo_core.evaluation.jobs import Jobs, Units, make_units
from mpo_core.policies.language import LanguagePolicy
from mpo_core.seeds import Stream, stream_key
from mpo_core.settings import EvaluationSettings
from mpo_core.training.inner_loop import train
from mpo_experiments.device_rates import matmul_gflops
from mpo_experiments.provenance import devices
from mpo_experiments.runs.folder import create_run
from mpo_experiments.text_table import TextTable
from mpo_experiments.versions import versions

LANES, HORIZON = (8, 10) if TINY else (128, 200)
ACCELERATOR_SECTIONS = ("rollouts", "comparisons", "inner")
PINNED_ROUNDS = 2 if TINY else 9
POPULATIONS = (4, 8) if TINY else (16, 64, 256)


@dataclasses.dataclass(frozen=True)
class Shown:
    """A promise and what came of it."""

    promise: int
    what: str
    measured: float
    wanted: float
    at_most: bool = False
    """Whether the measured value is to stay under what is wanted; else it is to reach it."""
    detail: str = ""

    @property
    def kept(self) -> bool:
        """Whether it is met."""
        return self.measured <= self.wanted if self.at_most else self.measured >= self.wanted


def inner_loop() -> Iterator[Shown]:
    """1: near what the same products reach without scan, data and optimiser, and near the machine's rate.

    As a search runs it: an inner loop on every device. What one reaches that has all threads to itself, which no
    search does, stands beside it. Products: the faster of one a device and one on all threads.
    """
    matmul, devices = matmul_gflops(), jax.local_device_count()
    for width, share in ((256, 0.7), (64, 0.5)):
        found, alone = inner_loop_rates(width, devices), inner_loop_rates(width, 1)
        rate, products = found["inner loop"], max(found["products"], alone["products"])
        for other, yardstick, wanted in (("bare products", products, 0.9), ("float32 matmul", matmul, share)):
            detail = f"{rate:.0f} and {yardstick:.0f} GFLOP/s; one loop alone {alone['inner loop'] / yardstick:.2f}"
            yield Shown(1, f"inner loop / {other}, width {width}", rate / yardstick, wanted, detail=detail)


def evaluation() -> Iterator[Shown]:
    """2: all cores at work, against one vmapped rollout and against one pinned to each of two cores."""
    bench = quick_bench()
    task, policy = bench.task, bench.original
    ours, plain = (make(task, policy, LANES, HORIZON) for make in (sharded_rollout, plain_rollout))
    same = float(np.mean(ours())), float(np.mean(plain()))
    seconds = alternating({"ours": ours, "plain": plain})
    rate = LANES * HORIZON / seconds["ours"]
    detail = f"{rate:,.0f} steps/s; mean returns {same[0]:.2f} and {same[1]:.2f}"
    yield Shown(2, "evaluation / plain brax rollout", seconds["plain"] / seconds["ours"], 1.8, detail=detail)
    with pinned_rollouts(TASK, LANES, HORIZON) as both:
        rounds = [(LANES * HORIZON / seconds_of(ours), both()) for _ in range(PINNED_ROUNDS)]
    own, theirs = np.median(rounds, axis=0)
    ratio = float(np.median([one / other for one, other in rounds]))
    detail = f"{own:,.0f} and {theirs:,.0f} steps/s"
    yield Shown(2, "evaluation / two pinned plain rollouts", ratio, 0.9, detail=detail)


def generation() -> Iterator[Shown]:
    """3: a quick generation against the usual way of writing it, on a control task and on a language model."""
    for task in (TASK, LANGUAGE_TASK):
        found = generation_seconds(task)
        yield Shown(
            3, f"usual way / ours, a quick generation, {task}", found["usual"] / found["ours"], 2.0,
            detail=f"{found['ours']:.1f} s and {found['usual']:.1f} s; after an epoch, parameters of the policies that "
            f"they train differ by {found['difference']:.1e}",
        )  # fmt: skip


def generation_seconds(task: str = TASK, rounds: int = 3) -> dict[str, float]:
    """Seconds of a quick generation in both ways, in turn, and how far the policies that they train lie apart."""
    bench = quick_bench(task)
    config, search, original = bench.config, bench.search, bench.testbed.original
    state, number, placed = search.start(), search.place(jnp.int32(0)), search.place((bench.bank,))
    jobs, units, keys = _usual_inputs(bench)
    judged = EvaluationSettings(config.search.episodes, config.search.horizon)
    if isinstance(original, LanguagePolicy):
        usual = usual_language_generation(bench.testbed.task, original, config.inner, judged, bench.learned[1])
    else:
        usual = usual_generation(bench.task, bench.original, config.inner, judged, bench.learned[1])
    seconds = alternating(
        {"ours": lambda: search.step(state, number, placed), "usual": lambda: usual(jobs, units, *keys)}, rounds
    )
    return seconds | {"difference": training_difference(bench, jobs, units)}


def training_difference(bench: Bench, jobs: Jobs, units: Units) -> float:
    """How far the parameters of the policies lie apart that both ways train in an epoch; later, rounding grows."""
    one, original = jax.tree.map(lambda leaf: leaf[0], jobs), bench.testbed.original
    unit = jax.tree.map(lambda leaf: leaf[one.unit], units)
    objective, short = eqx.combine(one.objective, bench.learned[1]), dataclasses.replace(bench.config.inner, epochs=1)
    own, _ = jax.jit(
        lambda unit: train(objective, original, unit.rows, short, key=unit.training_key, reference=unit.reference)
    )(unit)
    if isinstance(original, LanguagePolicy):
        theirs = jax.jit(lambda unit: usual_language_training(objective, original, unit, short))(unit)
    else:
        theirs = jax.jit(lambda unit: usual_training(objective, bench.original, unit, short))(unit)
    pairs = zip(jax.tree.leaves(own), jax.tree.leaves(theirs), strict=True)
    return max(float(jnp.abs(a - b).max()) for a, b in pairs)


def _usual_inputs(bench: Bench) -> tuple[Jobs, Units, tuple[Any, Any]]:
    """As many jobs on as many units as a generation of the search has, members a little apart."""
    config = bench.config
    keys = jax.random.split(jax.random.key(6), config.search.datasets)
    rows = jax.vmap(bench.rows)(keys)
    units = make_units(bench.testbed.original, rows, keys)
    count = bench.search.jobs
    noise = jax.random.split(jax.random.key(7), count)
    objective = jax.vmap(
        lambda key: jax.tree.map(lambda leaf: leaf + 0.1 * jax.random.normal(key, leaf.shape), bench.learned[0])
    )(noise)
    split = jax.vmap(lambda key: jax.random.split(key, config.search.episodes))(keys)
    return Jobs(objective, jnp.arange(count, dtype=jnp.int32) % config.search.datasets), units, (split, split)


def starts() -> Iterator[Shown]:
    """4: what a person waits for."""
    size = ("--preset", "smoke", "--generations", "3") if TINY else ("--preset", "quick")
    with tempfile.TemporaryDirectory() as cache:
        cold, second = (start_seconds(Path(cache), "--task", TASK, *size) for _ in range(2))
    yield Shown(4, "cold start to generation 0 (s)", cold, 90.0, at_most=True)
    yield Shown(4, "second start to generation 0 (s)", second, 20.0, at_most=True)
    yield Shown(4, "mpo --help (s)", command_seconds("--help"), 1.0, at_most=True)
    yield Shown(4, "a refusal of a task (s)", command_seconds("meta-train", "--task", "hoper"), 1.0, at_most=True)
    objective = command_seconds("train", "--task", TASK, "--objective", "simp")
    yield Shown(4, "a refusal of an objective (s)", objective, 1.0, at_most=True)


def overhead() -> Iterator[Shown]:
    """5: what a generation pays beside its members, and whether members cost the same in any number."""
    bench = quick_bench()
    search = bench.search
    state, placed = search.start(), search.place((bench.bank,))
    own = overhead_seconds(bench, state)
    whole = alternating({"generation": lambda: search.step(state, search.place(jnp.int32(0)), placed)}, rounds=2)
    yield Shown(
        5, "overhead / a quick generation", own / whole["generation"], 0.02, at_most=True, detail=f"{own * 1e3:.1f} ms"
    )
    costs = job_seconds()
    detail = ", ".join(f"{population}: {seconds * 1e3:.1f} ms" for population, seconds in costs.items())
    yield Shown(5, "dearest / cheapest member", max(costs.values()) / min(costs.values()), 1.1, True, detail)


def overhead_seconds(bench: Bench, state: Any) -> float:
    """Of ask and tell, of the log and of a checkpoint, together."""
    config = bench.config
    strategy = Strategy(config.strategy, bench.learned[0], config.search.generations)
    fitness = jnp.arange(float(config.strategy.population))

    @jax.jit
    def ask_and_tell(own: Any, key: jax.Array) -> Any:
        population, own = strategy.ask(own, key=key)
        return strategy.tell(own, population, fitness, key=key)

    begun, key = strategy.init(0), stream_key(0, Stream.STRATEGY)
    moved = alternating({"strategy": lambda: ask_and_tell(begun, key)}, rounds=20)["strategy"]
    with tempfile.TemporaryDirectory() as out:
        folder = create_run(Path(out), bench.run)
        with Scalars(folder.path, "tensorboard") as log:
            numbers = iter(range(10**6))

            def write() -> None:
                number = next(numbers)
                record = {"generation": number, "mean": 0.5, "start": 0.4, "best": 0.6, "failed": 0, "seconds": 1.0}
                folder.append_metrics(record)
                folder.save_checkpoint(number + 1, state)
                log.write(record)

            written = float(np.median([seconds_of(write) for _ in range(20)]))
    return moved + written


def job_seconds() -> dict[int, float]:
    """Seconds a job (inner loop and evaluation; mean and start are jobs too) by population, timed in turn.

    Sizes of the quick preset, but one dataset for all members and a quarter of the epochs.
    """
    calls: dict[int, Callable[[], Any]] = {}
    jobs = {}
    for population in POPULATIONS:
        sizes = {"datasets": 1, "bank_pairs": 128, "spread": False}
        bench = quick_bench(search=sizes, strategy={"population": population}, inner={"epochs": 3})
        if TINY:
            bench = quick_bench(strategy={"population": population})
        search = bench.search
        given = (search.start(), search.place(jnp.int32(0)), search.place((bench.bank,)))
        calls[population], jobs[population] = (lambda search=search, given=given: search.step(*given)), search.jobs
    seconds = alternating({str(population): call for population, call in calls.items()}, rounds=3)
    return {population: seconds[str(population)] / jobs[population] for population in calls}


def processes() -> Iterator[Shown]:
    """6: two processes find what one finds; the test says so."""
    test = "tests/adapters/processes/test_distributed.py::test_two_processes_score_as_one"
    command = (sys.executable, "-m", "pytest", test, "-q", "-p", "no:cacheprovider")
    found = subprocess.run(command, cwd=Path(__file__).parent.parent, capture_output=True, text=True, check=False)
    said = found.stdout.strip().splitlines()[-1:] or ["no output"]
    yield Shown(6, "two processes equal one (1: the test passes)", float(found.returncode == 0), 1.0, detail=said[0])


def accelerator() -> Iterator[Shown]:
    """7: rollouts, comparisons and inner loops of the paper's size, on an accelerator."""
    from benchmarks.gpu_checks import SECTIONS, Checks

    checks = Checks(TASK)
    for name in ACCELERATOR_SECTIONS:
        for one in SECTIONS[name][0](checks):
            if one.wanted is not None:
                what = f"{one.section}: {one.what} ({one.unit})"
                yield Shown(7, what, one.value, one.wanted, one.at_most, one.detail)


def usual_promises() -> list[int]:
    """Those that are measured unless some are named: what cores are promised says nothing of an accelerator."""
    return [number for number in PROMISES if number != 7] if jax.default_backend() == "cpu" else [3, 7]


PROMISES: dict[int, Callable[[], Iterator[Shown]]] = {
    1: inner_loop, 2: evaluation, 3: generation, 4: starts, 5: overhead, 6: processes, 7: accelerator,
}  # fmt: skip


def table(found: list[Shown]) -> TextTable:
    """All of them, a row each."""
    rows = tuple(
        (
            f"{one.promise}  {one.what}", f"{one.measured:.3g}", f"{'<=' if one.at_most else '>='} {one.wanted:g}",
            "yes" if one.kept else "NO", one.detail,
        )
        for one in found
    )  # fmt: skip
    columns = ("promise", "measured", "wanted", "kept", "detail")
    return TextTable("What is promised of speed", columns, rows, "medians of alternating runs")


def main() -> None:
    """Runs the promises that are named, all by default."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("promises", nargs="*", type=int, metavar="N", help="1 to 7; unless named, those that suit")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    given = parser.parse_args()
    if not set(given.promises) <= set(PROMISES):
        parser.error(f"promises are numbered {', '.join(map(str, PROMISES))}")
    found: list[Shown] = []
    for number in given.promises or usual_promises():
        for shown in PROMISES[number]():
            found.append(shown)
            print(f"{shown.promise}  {shown.what}: {shown.measured:.3g}  {shown.detail}", flush=True)
    print()
    print(table(found).markdown())
    if given.json:
        record = {"versions": versions(), "devices": devices(), "shown": [dataclasses.asdict(one) for one in found]}
        given.json.write_text(json.dumps(record, indent=2))


if __name__ == "__main__":
    main()
