"""What the figures of `mpo show` have in common."""

from collections.abc import Callable, Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.colorbar import Colorbar
from matplotlib.colors import Colormap, LinearSegmentedColormap
from matplotlib.figure import Figure

from adapters.plotting.figures import INK, TIME, save_figure

TIMES = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Shares of training at which functions are drawn."""
LAST = 0.999
"""What stands for the end of training: progress lies in [0, 1)."""
TIME_COLOURS: Colormap = LinearSegmentedColormap.from_list("time", TIME)
STRENGTH_COLOURS: Colormap = LinearSegmentedColormap.from_list("strength", ("#ffffff", "#fbe3d3", "#f3b48f", "#e0763a"))


def small_ticks(bar: Colorbar, label: str) -> None:
    """A colour bar in the size of the panels' labels."""
    bar.set_label(label, fontsize=8)
    bar.ax.tick_params(labelsize=7)


def tidy(axes: Axes, title: str = "", x: str = "", y: str = "") -> None:
    """Titles and small labels, no box, a light grid behind the lines."""
    axes.set_title(title, fontsize=9, color=INK)
    axes.set_xlabel(x, fontsize=8)
    axes.set_ylabel(y, fontsize=8)
    axes.tick_params(labelsize=7)
    axes.locator_params(axis="x", nbins=6)  # log-probs of trajectories have five characters
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#e5e7eb", linewidth=0.6)
    axes.set_axisbelow(True)


def epoch_panels(
    path: Path, names: Sequence[str], draw: Callable[[Axes, int], None], *, y: str, columns: int, sharey: bool = False
) -> None:
    """A panel an objective, over the epochs of its training, one legend under all.

    Args:
        draw: fills the panel of the objective at a place.
        columns: of the legend.
    """
    figure = Figure(figsize=(0.5 + 2.35 * len(names), 2.9), dpi=150, layout="constrained")
    panels = figure.subplots(1, len(names), squeeze=False, sharey=sharey)[0]
    for place, (axes, name) in enumerate(zip(panels, names, strict=True)):
        draw(axes, place)
        tidy(axes, name, "epochs done", y if place == 0 else "")
    figure.legend(
        *panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=columns, frameon=False, fontsize=8
    )
    save_figure(figure, path)


def within(progress: float) -> float:
    """Progress as objectives know it, below 1."""
    return min(progress, LAST)
