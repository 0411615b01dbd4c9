"""What `mpo diagnose` knows of the suite: the standings of every cell of a benchmark's summary.

python -m benchmarks.suite_summary docs/results/benchmark/summary.json
"""

import json
import sys
from pathlib import Path

from adapters.storage.files import write_json
from mpo_experiments.diagnose.suite import SUITE

KEPT, BEST = ("objective", "sampled", "mode"), 5

if __name__ == "__main__":
    source = Path(sys.argv[1])
    summary = json.loads(source.read_text())
    cells = [
        {name: cell[name] for name in ("task", "data", "units", "command")}
        | {"standings": [{name: row[name] for name in KEPT} for row in cell["standings"][:BEST]]}
        for cell in summary["cells"]
    ]
    command = f"python -m benchmarks.suite_summary {source}"
    write_json(SUITE, {"command": command, "settings": summary["settings"], "cells": cells})
