"""The tables of a transfer experiment that a benchmark does not have."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import stats

from mpo_core.evaluation.statistics import Interval, paired_difference
from mpo_experiments.benchmark.cell import BenchmarkCell
from mpo_experiments.benchmark.summary import BASELINE, Standing, entry_of, standings
from mpo_experiments.benchmark.tables import interval_text, settings_text, short_id
from mpo_experiments.lm_transfer.run import TransferCell
from mpo_experiments.lm_transfer.settings import Outcome, Texts, WorldCard
from mpo_experiments.text_table import TextTable

FEWEST_SHARED = 4
"""Objectives below which an order says nothing."""


def transfer_table(found: TransferCell, ranked: list[Standing], world: WorldCard) -> TextTable:
    """One kind of data in full: every objective with its settings, best first, and what its texts are like."""
    cell, rows = found.cell, []
    for one in ranked:
        entry, minus = entry_of(cell, one.id), difference(cell, one.id)
        scores = ", ".join(f"{score:.2f}" for score in entry.sampled)
        rows.append(
            (
                short_id(one.id), f"{np.mean(entry.sampled):.2f}", scores, f"{np.mean(entry.mode):.2f}",
                "-" if minus is None else interval_text(minus), *_texts(found.reported[one.id]), str(one.failed),
                settings_text(entry),
            )
        )  # fmt: skip
    rows += [(role, "-", "-", "-", "-", *_shown([texts]), "-", "-") for role, texts in _models(world)]
    return TextTable(
        title=f"{cell.data}: {cell.units} units",
        columns=(
            "objective", "sampled", "its units", "mode", f"minus {BASELINE}", "sentiment", "repetition", "unlikely",
            "ended", "tokens", "failed", "settings",
        ),
        rows=tuple(rows),
        caption=(
            "Means over units: of the normalised score of texts drawn at temperature 1, of the likeliest token each "
            f"time. 'minus {BASELINE}': mean of paired differences with 95 % t interval. The reward is sentiment less "
            "repetition less a quarter of 'unlikely', the nats a token by which the reader finds texts less likely "
            f"than texts of the corpus. Reward: original {world.original.sampled:.3f} (mode "
            f"{world.original.mode:.3f}), target {world.target.sampled:.3f} (mode {world.target.mode:.3f})."
        ),
    )  # fmt: skip


def _texts(outcomes: Sequence[Outcome]) -> tuple[str, ...]:
    return _shown([one.texts for one in outcomes if one.texts is not None])


def _shown(texts: Sequence[Texts]) -> tuple[str, ...]:
    """Means of sentiment, repetition, unlikeliness, share of ended texts and length."""
    if not texts:
        return ("-",) * 5
    sentiment, repetition, unlikely, ended, tokens = np.mean(
        [(one.sentiment, one.repetition, one.unlikely, one.ended, one.tokens) for one in texts], axis=0
    )
    return f"{sentiment:.2f}", f"{repetition:.1%}", f"{unlikely:.2f}", f"{ended:.0%}", f"{tokens:.0f}"


def _models(world: WorldCard) -> list[tuple[str, Texts]]:
    return [("original (score 0)", world.original), ("target (score 1)", world.target)]


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
