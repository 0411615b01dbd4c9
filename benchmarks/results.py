"""Writes the tables in docs/results anew from the cells beside them; runs nothing.

    python -m benchmarks.results

The tests hold that this changes nothing (tests/mpo_experiments/test_results.py).
"""

import sys
from functools import partial
from pathlib import Path

from benchmarks.closed_form import FOLDERS, write_gains
from benchmarks.paper_size import write_table
from benchmarks.paper_size_controls import write_controls
from benchmarks.run_mpo import run_mpo
from benchmarks.searches_beside import GROUPS, write_beside
from mpo_experiments.benchmark.again import write_again

RESULTS = Path("docs/results")
BENCHMARKS = (
    "benchmark", "cells-noisy-100", "confirmed", "confirmed-ant", "confirmed-ant-noisy", "confirmed-hopper",
    "confirmed-three-legged-ant", "control", "control-ant", "discovery", "discovery-from-orpo",
    "discovery-from-orpo-200", "leaderboard", "reviews/benchmark",
    "reviews/closed-form", "reviews/control",
    *(
        str(path.parent.relative_to(RESULTS))
        for name in ("pairs", "paper-size", "sweeps")
        for path in sorted((RESULTS / name).rglob("scores.csv"))
    ),
)  # fmt: skip
"""Folders of `mpo benchmark` that have their cells."""
QUEUE = (
    "discover", "--task", "halfcheetah,hopper,ant,three_legged_ant", "--tuned-from", "docs/results/benchmark",
    "--seed", "33", "--search-seed", "33", "--units", "20", "--out", "docs/results/cells", "--only-tables",
)  # fmt: skip
TRANSFER = (*QUEUE, "--data", "mixed:0.75,noisy:0.2", "--forms", "static", "--transfer")
DISCOVERY = (*QUEUE, "--data", "mixed:0.75,noisy:0.2,base")
"""After that of what carries over, which writes the table of the static form alone."""
REVIEWS = (
    "discover", "--task", "reviews", "--data", "mixed:0.75,noisy:0.2,mixed_other:0.75,base", "--forms", "static",
    "--tuned-from", "docs/results/reviews/benchmark", "--seed", "231", "--search-seed", "811", "--units", "20",
    "--out", "docs/results/reviews/searches", "--only-tables",
)  # fmt: skip


def searches(
    name: str, count: int, *options: str, task: str = "halfcheetah", data: str = "mixed:0.75",
    seeds: tuple[int, int] = (34, 820),
) -> tuple[str, ...]:  # fmt: skip
    """The command of so many searches of a form in each cell, in docs/results/seeds.

    Args:
        seeds: of tuning and report, and of the first search.
    """
    return (
        "discover", "--task", task, "--data", data, "--forms", "static", "--seed", str(seeds[0]),
        "--search-seed", str(seeds[1]), "--search-seeds", str(count), "--units", "20", *options,
        "--out", f"docs/results/seeds/{name}", "--only-tables",
    )  # fmt: skip


CHANCE, FROM_DATA = ("--set", "strategy.name=random"), ("--set", "search.frame=data")
ZOO, MORE_ZOO = (("--tuned-from", f"docs/results/seeds/{name}/zoo") for name in ("snes", "more/snes"))
PAIRS = "ant@1,ant@2,three_legged_ant@1,three_legged_ant@2"
more = partial(searches, task="ant,three_legged_ant,hopper", data="mixed:0.75,noisy:0.2", seeds=(35, 830))
SEEDS = {
    "snes": searches("snes", 8),
    "random": searches("random", 8, *ZOO, *CHANCE),
    "frame": searches("frame", 3, *ZOO, *FROM_DATA),
    "more/snes": more("more/snes", 3),
    "more/random": more("more/random", 3, *MORE_ZOO, *CHANCE),
    "pairs": searches("pairs", 3, task=PAIRS, seeds=(243, 850)),
}
"""By evolution, by chance, and in a frame that is estimated from the data; in one cell, in others, on other agents."""
ENGLISH = (
    "transfer", "--corpus", "rated_sentences.tsv", "--data", "mixed:0.75,noisy:0.2",
    "--objectives", "sft,kto,ipo,floor_po:floor=-5.39,moved/reviews-mixed75-temporal",
    "--budget", "4", "--tuning-units", "1", "--units", "3", "--seed", "240", "--out", ".", "--only-tables",
)  # fmt: skip
"""In docs/results/transfer."""


def main() -> None:
    """All of them, in the working folder's docs/results."""
    for name in BENCHMARKS:
        for path in write_again(RESULTS / name):
            sys.stdout.write(f"Written to {path}\n")
    for folder in FOLDERS:
        sys.stdout.write(f"Written to {write_gains(folder)}\n")
    for arguments in (TRANSFER, DISCOVERY, REVIEWS, *SEEDS.values()):
        run_mpo(arguments)
    sys.stdout.write(f"Written to {write_table()}\nWritten to {write_controls()}\n")
    for group in GROUPS:
        sys.stdout.write(f"Written to {write_beside(group)}\n")
    run_mpo(ENGLISH, RESULTS / "transfer")


if __name__ == "__main__":
    main()
