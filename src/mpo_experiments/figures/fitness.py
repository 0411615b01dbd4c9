"""The course of a search."""

from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from adapters.plotting.panels import Axes, new_figure, save_figure, whole_numbers
from mpo_experiments.figures.style import BEST, DASHES, LEARNED, MARKS, MUTED, legend_below, open_box

DECAY = 0.8
"""Of the moving average that lines show."""


def draw_fitness(path: Path, records: list[dict[str, Any]], marks: dict[str, float], title: str, horizons: str) -> None:
    """Fitness over generations: search mean, best member, and the start on the same units; tuned baselines as marks.

    Args:
        horizons: over how many steps these were judged.
    """
    figure = new_figure(8.4, 4.4)
    axes: Axes = figure.subplots()
    generation = np.array([record["generation"] + 1 for record in records])  # people count from 1
    for name, label, colour, width in (
        ("best", "best member", BEST, 1.0),
        ("start", "start, same units", MUTED, 1.0),
        ("mean", "search mean", LEARNED, 1.2),
    ):
        value = np.array([record.get(name) for record in records], float)
        axes.plot(generation, value, ".", color=colour, markersize=4, alpha=0.5)
        axes.plot(generation, _smooth(value), color=colour, linewidth=2 * width, label=label)
    _mark_baselines(axes, marks)
    axes.set(xlabel="generation", ylabel="normalised score (original 0, target 1)", title=f"Search on {title}")
    whole_numbers(axes)
    if marks:
        axes.plot([], [], color=MUTED, linewidth=0.8, linestyle=DASHES, label=f"tuned, {horizons}, tuning units")
    legend_below(figure, f"points: each of {len(records)} generations; lines: their moving average", 4)
    open_box(axes)
    save_figure(figure, path)


def _mark_baselines(axes: Axes, marks: dict[str, float]) -> None:
    """A dashed line a baseline, named at the right; names that would overlap are moved apart."""
    ordered = sorted(marks.items(), key=lambda item: item[1])
    gap, place = 0.04 * float(np.ptp(axes.get_ylim())), -np.inf
    for (name, score), colour in zip(ordered, MARKS * len(ordered), strict=False):
        place = max(score, place + gap)
        axes.axhline(score, color=colour, linewidth=0.8, linestyle=DASHES, alpha=0.7)
        axes.annotate(
            name, (1.0, place), xycoords=("axes fraction", "data"), xytext=(4, 0), textcoords="offset points",
            va="center", fontsize=7, color=colour, annotation_clip=False,
        )  # fmt: skip


def _smooth(values: Float[np.ndarray, " generation"]) -> Float[np.ndarray, " generation"]:
    """Exponential moving average, corrected for its start."""
    total, weight, smooth = 0.0, 0.0, []
    for value in values:
        if np.isfinite(value):
            total, weight = DECAY * total + (1 - DECAY) * value, DECAY * weight + (1 - DECAY)
        smooth.append(total / weight if weight else np.nan)
    return np.array(smooth)
