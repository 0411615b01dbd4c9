"""Figures of a run, as PNG."""

from pathlib import Path
from typing import Any

import jax
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from mpo_core.mirror.maps import AbstractMap
from mpo_core.mirror.mirror_objective import MirrorObjective

INK, MUTED = "#1b1f24", "#8a939e"
LEARNED, BEST = "#c2410c", "#f3b48f"
MARKS = ("#1d4ed8", "#0f766e", "#7e22ce", "#b45309", "#be123c", "#4d7c0f")
TIME = ("#f3b48f", "#e0763a", "#9a3412")


def draw_fitness(path: Path, records: list[dict[str, Any]], marks: dict[str, float], title: str) -> None:
    """Fitness over generations: search mean, best member, and the start on the same units; tuned baselines as marks."""
    figure = Figure(figsize=(8.4, 4.4), dpi=150, layout="constrained")
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
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    if marks:
        axes.plot([], [], color=MUTED, linewidth=0.8, linestyle=(0, (4, 3)), label="tuned, horizon 1000, tuning units")
    note = f"points: each of {len(records)} generations; lines: their moving average"
    figure.legend(loc="outside lower center", ncols=4, frameon=False, fontsize=8, title=note, title_fontsize=7.5)
    _finish(axes)
    save_figure(figure, path)


def draw_maps(
    path: Path, found: MirrorObjective, start: MirrorObjective, *, lowest: dict[str, float], temporal: bool, title: str
) -> None:
    """phi_inv, psi and g beside where they started, at the beginning, the middle and the end of training.

    Args:
        lowest: the least log-prob to show, as the "sum" over a trajectory and as the "mean" of its tokens.
        temporal: whether the maps see training progress; otherwise one curve each.
        title: over all panels.
    """
    figure = Figure(figsize=(11.5, 4.6), dpi=150, layout="constrained")
    axes = figure.subplots(1, 3)
    names = {"sum": "log-prob of the trajectory", "mean": "mean token log-prob"}
    grid = {kind: np.linspace(low, -0.02, 400, dtype=np.float32) for kind, low in lowest.items()}
    bracket = 3.0 if start.bracket == "mean" else 0.05 * abs(lowest["sum"])
    panels = (
        ("phi_inv", r"$\phi^{-1}$: what the bracket compares", names[start.bracket], grid[start.bracket]),
        ("psi", r"$\psi$: reward of the bracket", "bracket", np.linspace(-bracket, bracket, 400, dtype=np.float32)),
        ("g", r"$g$: imitation of the chosen", names[start.imitation], grid[start.imitation]),
    )
    for panel, (name, what, label, x) in zip(axes, panels, strict=True):
        _draw_map(panel, getattr(found, name), getattr(start, name), x, temporal)
        panel.set(title=what, xlabel=label)
        _finish(panel)
    figure.suptitle(title, fontsize=10, color=INK)
    handles, labels = axes[0].get_legend_handles_labels()
    note = r"$\phi^{-1}$ and $g$ less their value at the right end: constants change no gradient"
    figure.legend(
        handles, labels, loc="outside lower center", ncols=6, frameon=False, fontsize=8, title=note, title_fontsize=7.5
    )
    save_figure(figure, path)


def _draw_map(axes: Axes, found: AbstractMap, start: AbstractMap, x: np.ndarray, temporal: bool) -> None:
    times = (0.0, 0.5, 0.95) if temporal else (0.5,)
    for time, colour in zip(times, TIME if temporal else TIME[1:2], strict=True):
        label = f"learned, t = {time:g}" if temporal else "learned"
        axes.plot(x, _values(found, x, time), color=colour, linewidth=2, label=label)
    still = all(np.allclose(_values(start, x, time), _values(start, x, times[0])) for time in times)
    styles = ("--",) if still else (":", "--", "-.")
    for time, style in zip(times[: len(styles)], styles, strict=True):
        label = "start" if still else f"start, t = {time:g}"
        axes.plot(x, _values(start, x, time), style, color=INK, linewidth=1, label=label)


def _values(function: AbstractMap, x: np.ndarray, time: float) -> np.ndarray:
    """The map less its value at the right end: constants of phi_inv and g change no gradient."""
    values = np.asarray(_applied(function, x, time))
    return values - values[-1] if x[-1] < 0 else values


@jax.jit
def _applied(function: AbstractMap, x: jax.Array, time: jax.Array) -> jax.Array:
    return function(x, time)


def _mark_baselines(axes: Axes, marks: dict[str, float]) -> None:
    """A dashed line a baseline, named at the right; names that would overlap are moved apart."""
    ordered = sorted(marks.items(), key=lambda item: item[1])
    gap, place = 0.04 * float(np.ptp(axes.get_ylim())), -np.inf
    for (name, score), colour in zip(ordered, MARKS * len(ordered), strict=False):
        place = max(score, place + gap)
        axes.axhline(score, color=colour, linewidth=0.8, linestyle=(0, (4, 3)), alpha=0.7)
        axes.annotate(
            name, (1.0, place), xycoords=("axes fraction", "data"), xytext=(4, 0), textcoords="offset points",
            va="center", fontsize=7, color=colour, annotation_clip=False,
        )  # fmt: skip


def _smooth(values: np.ndarray) -> np.ndarray:
    """Exponential moving average, corrected for its start."""
    decay = 0.8
    total, weight, smooth = 0.0, 0.0, []
    for value in values:
        if np.isfinite(value):
            total, weight = decay * total + (1 - decay) * value, decay * weight + (1 - decay)
        smooth.append(total / weight if weight else np.nan)
    return np.array(smooth)


def _finish(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#e5e7eb", linewidth=0.6)
    axes.set_axisbelow(True)


def save_figure(figure: Figure, path: Path) -> None:
    """A PNG whose bytes do not name the library's version; its folder is made if need be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Software": None})
