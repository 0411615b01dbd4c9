"""Writes the tables in docs/results anew from the cells beside them; runs nothing.

    python -m benchmarks.results

The tests hold that this changes nothing (tests/mpo_experiments/test_results.py).
"""

import os
import subprocess
import sys
from pathlib import Path

from mpo_experiments.benchmark.again import write_again

RESULTS = Path("docs/results")
BENCHMARKS = (
    "benchmark", "cells-noisy-100", "confirmed", "confirmed-ant", "confirmed-ant-noisy", "confirmed-hopper",
    "confirmed-three-legged-ant", "control", "control-ant", "discovery", "discovery-from-orpo",
    "discovery-from-orpo-200", "leaderboard", "reviews/benchmark",
)  # fmt: skip
"""Folders of `mpo benchmark` that have their cells."""
QUEUE = (
    "discover", "--task", "halfcheetah,hopper,ant,three_legged_ant", "--tuned-from", "docs/results/benchmark",
    "--seed", "33", "--search-seed", "33", "--units", "20", "--out", "docs/results/cells", "--only-tables",
)  # fmt: skip
TRANSFER = (*QUEUE, "--data", "mixed:0.75,noisy:0.2", "--forms", "static", "--transfer")
DISCOVERY = (*QUEUE, "--data", "mixed:0.75,noisy:0.2,base")
"""After that of what carries over, which writes the table of the static form alone."""


def main() -> None:
    """All of them, in the working folder's docs/results."""
    for name in BENCHMARKS:
        for path in write_again(RESULTS / name):
            sys.stdout.write(f"Written to {path}\n")
    for arguments in (TRANSFER, DISCOVERY):
        subprocess.run([sys.executable, "-c", "import cli; cli.main()", *arguments], check=True, env=os.environ)


if __name__ == "__main__":
    main()
