"""Memory stays flat over generations, once programs are compiled and caches are warm."""

import time
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from adapters.logging.scalars import Scalars
from helpers.toy_run import begin, environment, generations, the_run
from mpo_experiments.runs.folder import create_run
from mpo_experiments.settings.run_config import build_run

GROWTH = 1.05


def resident(process="self"):
    """Bytes of memory that a process holds."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))


def test_thirty_generations_need_no_more_than_ten(make_program, toy_bank, tmp_path):
    program = make_program(generations=30)
    folder = create_run(tmp_path, build_run({"task": "halfcheetah"}))
    state, bank, held = program.start(), program.place(toy_bank), []
    with Scalars(folder.path, "tensorboard") as log:
        for generation in range(30):
            state, scores = program.step(state, program.place(jnp.int32(generation)), bank)
            record = {"generation": generation, "mean": float(scores.mean)}
            folder.append_metrics(record)
            folder.save_checkpoint(generation + 1, state)
            log.write(record)
            held.append(resident())
    assert max(held[20:]) < GROWTH * min(held[9:12])


@pytest.mark.slow
def test_two_hundred_generations_of_a_smoke_search(tmp_path):
    arguments = ("meta-train", "--task", "halfcheetah", "--preset", "smoke", "--generations", 200, "--out", "out")
    process = begin(arguments, environment(tmp_path / "plugin"), tmp_path)
    held: dict[int, int] = {}
    while process.poll() is None and len(held) < 200:
        run = the_run(tmp_path / "out")
        if run is not None and (run / "metrics.jsonl").exists():
            held.setdefault((run / "metrics.jsonl").read_bytes().count(b"\n"), resident(process.pid))
        time.sleep(0.02)
    assert process.wait(600) == 0, (tmp_path / "stderr").read_text()
    assert generations(the_run(tmp_path / "out")) == list(range(200))
    early, late = ([held[at] for at in held if low <= at <= high] for low, high in ((20, 50), (150, 199)))
    assert min(len(early), len(late)) > 5
    assert np.median(late) < GROWTH * np.median(early)
