"""Which losses did best in the suite where its data were most like these: a bundled summary of `mpo benchmark`."""

import dataclasses
from pathlib import Path
from typing import Any

from adapters.storage.files import read_json
from mpo_core.data.faults.noisy import Noisy
from mpo_core.data.specification import parse_data_spec
from mpo_experiments.text_table import TextTable

SUITE = Path(__file__).parent.parent / "bundled" / "suite.json"
"""Written by `python -m benchmarks.suite_summary docs/results/benchmark/summary.json`."""
SHOWN = 3


@dataclasses.dataclass(frozen=True)
class Nearest:
    """The kind of data of the suite that is most like a data set, and the table of it."""

    data: str
    table: TextTable
    best: dict[str, list[str]]
    """Task -> ids of its best losses, the best first."""


def nearest(noise: float | None, both_own: float | None) -> Nearest:
    """The suite's kind of data with the nearest share of flipped labels and of pairs with both sides the model's own.

    Args:
        noise: share of flipped labels; None: it is not known, and taken as 0.
        both_own: share of pairs in which both sides look like the model's own; likewise.
    """
    cells: list[dict[str, Any]] = read_json(SUITE, "summary of the suite")["cells"]
    kinds = list(dict.fromkeys(cell["data"] for cell in cells))
    kind = min(kinds, key=lambda data: _distance(data, noise or 0.0, both_own or 0.0))
    there = [cell for cell in cells if cell["data"] == kind]
    rows = tuple(
        (cell["task"] if not place else "", one["objective"], _shown(one["sampled"]), _shown(one["mode"]))
        for cell in there
        for place, one in enumerate(cell["standings"][:SHOWN])
    )
    caption = (
        "In the suite: policies for simulated robots trained on such data, original 0, target 1; interquartile mean "
        f"over {there[0]['units']} units with 95 % interval. Not measured on language models."
    )
    unknown = [what for what, value in (("labels", noise), ("pairs of the model's own", both_own)) if value is None]
    if unknown:
        caption += f" What is not known of the {' and the '.join(unknown)} is taken as no fault."
    table = TextTable(f"Best in the suite on {kind}", ("task", "objective", "sampled actions", "mode"), rows, caption)
    best = {cell["task"]: [one["objective"] for one in cell["standings"][:SHOWN]] for cell in there}
    return Nearest(kind, table, best)


def _distance(data: str, noise: float, both_own: float) -> float:
    spec = parse_data_spec(data)
    flips = spec.find(Noisy)
    return ((flips.value if flips else 0.0) - noise) ** 2 + (spec.shares[0] - both_own) ** 2


def _shown(interval: dict[str, float]) -> str:
    return f"{interval['estimate']:.2f} [{interval['low']:.2f}, {interval['high']:.2f}]"
