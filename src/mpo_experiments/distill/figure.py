"""A distilled objective beside the original: the three maps over the inputs they were given, and over training."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from adapters.plotting.panels import Axes, new_figure, save_figure
from mpo_core.mirror.distillation import MAP_NAMES, Slopes, slopes_of, values_of
from mpo_core.mirror.maps import AbstractMap
from mpo_core.mirror.mirror_objective import MirrorObjective
from mpo_core.mirror.realised import Realised
from mpo_experiments.figures.maps import MAP_TITLES, MOMENTS
from mpo_experiments.figures.style import INK, MARKS, TIME_COLOURS, headed, open_box

QUANTILES = (0.1, 0.5, 0.9)
"""Of the inputs at which slopes are followed through training."""
POINTS = 300


class Pair(NamedTuple):
    """A map and its closed form."""

    original: AbstractMap
    closed: AbstractMap


def draw_distilled(
    path: Path, original: MirrorObjective, closed: MirrorObjective, samples: Realised, title: str = ""
) -> None:
    """Above, each map less its value in the middle of the range, at three moments; below, its slope over progress.

    Args:
        title: what was distilled, and from how many samples.
    """
    figure = new_figure(11.5, 7.2)
    seen = Slopes(original, samples)
    panels = figure.subplots(2, 3)
    for (above, below), name in zip(panels.T, MAP_NAMES, strict=True):
        given, pair = seen.inputs(name)[0], Pair(getattr(original, name), getattr(closed, name))
        _draw_map(above, pair, given)
        above.set(title=MAP_TITLES[name], xlabel="bracket" if name == "psi" else "log-prob")
        _draw_over_time(below, pair, given)
        below.set(xlabel="progress of training t")
    panels[0, 0].set_ylabel("map, less its middle value")
    panels[1, 0].set_ylabel("slope of the map")
    for axes in panels.ravel():
        open_box(axes)
    for axes in panels[:, 0]:
        axes.legend(frameon=False, fontsize=7)
    headed(figure, title, "colour: original; black dashes: closed form; ticks: the inputs met in training")
    save_figure(figure, path)


def _draw_map(axes: Axes, pair: Pair, given: Float[np.ndarray, " input"]) -> None:
    """A map over the inputs that it was given; ticks mark them."""
    low, high = np.quantile(given, [0.002, 0.998])
    x = np.linspace(low, max(high, low + 1e-6), POINTS)
    for moment, colour in zip(MOMENTS, TIME_COLOURS, strict=True):
        for one, style in zip(pair, ({"color": colour, "linewidth": 2.5}, _dashes()), strict=True):
            values = values_of(one, x, np.full(len(x), moment))
            label = f"original, t = {moment:g}" if one is pair.original else _closed_label(moment == MOMENTS[-1])
            axes.plot(x, values - values[len(x) // 2], label=label, **style)
    ticks = np.quantile(given, np.linspace(0.01, 0.99, 60))
    axes.plot(ticks, np.full(60, 0.01), "|", color=INK, alpha=0.4, transform=axes.get_xaxis_transform())


def _draw_over_time(axes: Axes, pair: Pair, given: Float[np.ndarray, " input"]) -> None:
    """The slope of a map at low, middle and high inputs, from the start of training to its end."""
    progress = np.linspace(0.0, 0.999, POINTS)
    for share, colour in zip(QUANTILES, MARKS, strict=False):
        at = float(np.quantile(given, share))
        for one, style in zip(pair, ({"color": colour, "linewidth": 2.5}, _dashes()), strict=True):
            slopes = slopes_of(one, np.full(POINTS, at), progress)
            last = _closed_label(share == QUANTILES[-1])
            axes.plot(
                progress,
                slopes,
                label=f"original, {share:.0%} quantile of inputs" if one is pair.original else last,
                **style,
            )
    low, high = axes.get_ylim()
    if high - low < 1e-3 * max(abs(low), abs(high)):  # the same throughout training
        axes.set_ylim(*sorted((0.0, 1.5 * (low + high) / 2)))


def _closed_label(last: bool) -> str | None:
    return "closed form" if last else None


def _dashes() -> dict[str, Any]:
    return {"color": INK, "linewidth": 1.0, "linestyle": "--"}
