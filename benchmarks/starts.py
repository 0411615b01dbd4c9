"""How long a person waits: from process start to the first generation, for help, and for a refusal."""

import os
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.run_mpo import MPO


def start_seconds(cache: Path, *options: str) -> float:
    """Seconds from process start until generation 0 runs, its program compiled.

    That is when generation 0 is done, less what the one after it takes. The process is ended then.

    Args:
        cache: folder of compiled programs; empty for a cold start.
        options: of `mpo meta-train`.
    """
    variables = os.environ | {"JAX_COMPILATION_CACHE_DIR": str(cache), "PYTHONUNBUFFERED": "1"}
    variables.pop("XLA_FLAGS", None)
    with tempfile.TemporaryDirectory() as out:
        began = time.perf_counter()
        process = subprocess.Popen(
            (*MPO, "meta-train", *options, "--out", out), env=variables, stdout=subprocess.PIPE, text=True
        )
        done = []
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("generation "):
                done.append(time.perf_counter())
            if len(done) == 3:
                break
        process.kill()
        process.wait()
    if len(done) < 3:
        raise RuntimeError("the search ended before its third generation")
    return done[0] - began - float(np.median(np.diff(done)))


def command_seconds(*arguments: str, rounds: int = 5) -> float:
    """Median seconds of an `mpo` command that ends by itself."""
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        subprocess.run((*MPO, *arguments), capture_output=True, check=False)
        times.append(time.perf_counter() - began)
    return float(np.median(times))
