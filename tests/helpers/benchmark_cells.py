"""Cells of a benchmark whose numbers are known."""

import numpy as np

from mpo_experiments.benchmark.cell import BenchmarkCell, BenchmarkSettings, CellKey, Entry

UNITS = 8
LEVELS = {"sft": 0.2, "orpo": 0.6, "dpo": -0.4, "mmpo": 0.9}
SETTINGS = BenchmarkSettings(tuple(LEVELS), budget=2, tuning_units=2, units=UNITS)


def make_cell(task="hopper", data="base", bin_width=0.1, seed=0, levels=LEVELS, rows=None):
    rng = np.random.default_rng(seed)

    def entry(id, level):
        sampled, mode = (level + 0.01 * rng.normal(size=UNITS) for _ in range(2))
        return Entry(
            id=id, settings={"lam": 0.25} if id == "orpo" else {}, sft_epochs=10 * (id == "dpo"), tried=2,
            tuning_score=9.0, sees=["rewards"] if id == "mmpo" else [], sampled=sampled.tolist(), mode=mode.tolist(),
            clamped=0.125,
        )  # fmt: skip

    key = CellKey(task, data, bin_width, rows)
    return BenchmarkCell(
        task=task, data=data, bin_width=bin_width, rows=rows, command=SETTINGS.command(key),
        config={"evaluation": {"horizon": 1000}},
        provenance={"versions": {"jax": "0"}, "devices": {"count": 2, "kind": "cpu", "platform": "cpu"}},
        seconds={"tuning": 60.0, "reporting": 30.0}, original=100.0, target=900.0,
        ranges={"orpo": {"lam": [0.1, 2.0]}}, objectives=[entry(*item) for item in levels.items()],
    )  # fmt: skip
