"""phi_inv, psi and g of a learned objective beside where they started."""

from collections.abc import Mapping
from pathlib import Path

import jax
import numpy as np
from jaxtyping import Array, Float

from adapters.plotting.panels import Axes, new_figure, save_figure
from mpo_core.mirror.distillation import MapName
from mpo_core.mirror.maps import AbstractMap
from mpo_core.mirror.mirror_objective import MirrorObjective
from mpo_experiments.figures.style import INK, TIME_COLOURS, headed, legend_below, open_box

MAP_TITLES: Mapping[MapName, str] = {
    "phi_inv": r"$\phi^{-1}$: what the bracket compares",
    "psi": r"$\psi$: reward of the bracket",
    "g": r"$g$: imitation of the chosen",
}
INPUT_LABELS = {"sum": "log-prob of the trajectory", "mean": "mean token log-prob"}
MOMENTS = (0.0, 0.5, 0.95)
"""The start, the middle and the end of training, drawn in the colours `TIME_COLOURS`."""
POINTS, HIGHEST = 400, -0.02
"""Points of a curve, and the highest log-prob shown."""
NOTE = r"$\phi^{-1}$ and $g$ less their value at the right end: constants change no gradient"


def draw_maps(
    path: Path, found: MirrorObjective, start: MirrorObjective, *, lowest: dict[str, float], temporal: bool, title: str
) -> None:
    """phi_inv, psi and g beside where they started, at the beginning, the middle and the end of training.

    Args:
        lowest: the least log-prob to show, as the "sum" over a trajectory and as the "mean" of its tokens.
        temporal: whether the maps see training progress; otherwise one curve each.
        title: over all panels.
    """
    figure = new_figure(11.5, 4.6)
    axes = figure.subplots(1, 3)
    grid = {kind: np.linspace(low, HIGHEST, POINTS, dtype=np.float32) for kind, low in lowest.items()}
    bracket = 3.0 if start.bracket == "mean" else 0.05 * abs(lowest["sum"])
    panels: tuple[tuple[MapName, str, np.ndarray], ...] = (
        ("phi_inv", INPUT_LABELS[start.bracket], grid[start.bracket]),
        ("psi", "bracket", np.linspace(-bracket, bracket, POINTS, dtype=np.float32)),
        ("g", INPUT_LABELS[start.imitation], grid[start.imitation]),
    )
    for panel, (name, label, x) in zip(axes, panels, strict=True):
        _draw_map(panel, getattr(found, name), getattr(start, name), x, temporal)
        panel.set(title=MAP_TITLES[name], xlabel=label)
        open_box(panel)
    headed(figure, title)
    legend_below(figure, NOTE, 6, axes[0].get_legend_handles_labels())
    save_figure(figure, path)


def _draw_map(
    axes: Axes, found: AbstractMap, start: AbstractMap, x: Float[np.ndarray, " point"], temporal: bool
) -> None:
    times = MOMENTS if temporal else MOMENTS[1:2]
    for time, colour in zip(times, TIME_COLOURS if temporal else TIME_COLOURS[1:2], strict=True):
        label = f"learned, t = {time:g}" if temporal else "learned"
        axes.plot(x, _values(found, x, time), color=colour, linewidth=2, label=label)
    still = all(np.allclose(_values(start, x, time), _values(start, x, times[0])) for time in times)
    styles = ("--",) if still else (":", "--", "-.")
    for time, style in zip(times[: len(styles)], styles, strict=True):
        label = "start" if still else f"start, t = {time:g}"
        axes.plot(x, _values(start, x, time), style, color=INK, linewidth=1, label=label)


def _values(function: AbstractMap, x: Float[np.ndarray, " point"], time: float) -> Float[np.ndarray, " point"]:
    """The map less its value at the right end: constants of phi_inv and g change no gradient."""
    values = np.asarray(map_values(function, x, time))
    return values - values[-1] if x[-1] < 0 else values


@jax.jit
def map_values(
    function: AbstractMap, x: Float[Array, " point"], time: Float[Array, ""] | float
) -> Float[Array, " point"]:
    """A map at a moment of training, compiled once for maps of a structure."""
    return function(x, time)
