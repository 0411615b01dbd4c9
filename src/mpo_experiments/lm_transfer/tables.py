"""The tables of a transfer experiment that a benchmark does not have."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import stats

from mpo_core.evaluation.statistics import Interval, paired_difference
from mpo_experiments.benchmark.cell import BenchmarkCell
from mpo_experiments.benchmark.summary import BASELINE, Standing, entry_of, standings
from mpo_experiments.benchmark.tables import interval_text, short_id
from mpo_experiments.lm_transfer.run import TransferCell
from mpo_experiments.lm_transfer.settings import WorldCard
from mpo_experiments.text_table import TextTable

FEWEST_SHARED = 4
"""Objectives below which an order says nothing."""


def transfer_table(found: TransferCell, ranked: list[Standing], world: WorldCard) -> TextTable:
    """One kind of data in full: every objective with its settings, best first."""
    cell, rows = found.cell, []
    for one in ranked:
        entry, minus = entry_of(cell, one.id), difference(cell, one.id)
        settings = ", ".join(f"{name}={value:g}" for name, value in entry.settings.items())
        schedule = f"; {entry.sft_epochs} SFT epochs first" if entry.sft_epochs else ""
        rows.append(
            (
                short_id(one.id), interval_text(one.sampled), f"{one.mode.estimate:.2f}",
                "-" if one.improvement is None else interval_text(one.improvement),
                "-" if minus is None else interval_text(minus),
                f"{found.ended[one.id]:.0%}", f"{found.words[one.id]:.0f}", str(one.failed), settings + schedule,
            )
        )  # fmt: skip
    low, high = world.original, world.target
    return TextTable(
        title=f"{cell.data}: {cell.units} units",
        columns=(
            "objective", "sampled", "mode", f"P(> {BASELINE})", f"minus {BASELINE}", "ended", "words", "failed",
            "settings",
        ),
        rows=tuple(rows),
        caption=(
            f"Reward: original {low['sampled']:.2f} (mode {low['mode']:.2f}), target {high['sampled']:.2f} (mode "
            f"{high['mode']:.2f}). Inter-quartile mean with 95 % stratified bootstrap interval; 'minus {BASELINE}': "
            "mean of paired differences with 95 % t interval; 'ended': share of reviews that the model ended itself "
            f"(original {low['ended']:.0%}, target {high['ended']:.0%}); 'words': their mean length (original "
            f"{low['words']:.0f}, target {high['words']:.0f})."
        ),
    )  # fmt: skip


def difference(cell: BenchmarkCell, id: str) -> Interval | None:
    """An objective minus SFT, paired by unit; None for SFT itself, and without it."""
    if id == BASELINE or all(entry.id != BASELINE for entry in cell.objectives):
        return None
    ours, theirs = (np.array(entry_of(cell, name).sampled) for name in (id, BASELINE))
    return paired_difference(ours, theirs)


def agreement_table(cells: Sequence[BenchmarkCell], suite: dict[str, Any], where: str) -> TextTable:
    """Spearman's rank correlation of the objectives' scores here and on the suite's tasks, kind of data by kind.

    Raises:
        ValueError: the file is no summary of a benchmark.
    """
    try:
        theirs = {
            (found["task"], found["data"]): {
                one["objective"]: float(one["sampled"]["estimate"]) for one in found["standings"]
            }
            for found in suite["cells"]
        }
    except (KeyError, TypeError, ValueError):
        raise ValueError(f"benchmark summary {where}: is not the summary.json of mpo benchmark") from None
    rows = []
    for cell in cells:
        ours = {one.id: one.sampled.estimate for one in standings([cell])}
        for (task, data), scores in theirs.items():
            shared = sorted(ours.keys() & scores.keys())
            if data == cell.data and len(shared) >= FEWEST_SHARED:
                found = stats.spearmanr([ours[id] for id in shared], [scores[id] for id in shared])
                rows.append((data, task, str(len(shared)), f"{found[0]:.2f}", f"{found[1]:.2f}"))
    return TextTable(
        title="Does the order on the suite carry over?",
        columns=("data", "task", "objectives", "rank correlation", "p"),
        rows=tuple(rows),
        caption=f"Spearman's correlation of inter-quartile means here and in `{where}`; p two-sided, no correction.",
    )
