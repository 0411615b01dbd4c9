"""What the figures of `mpo show` have in common."""

from matplotlib.axes import Axes
from matplotlib.colorbar import Colorbar
from matplotlib.colors import Colormap, LinearSegmentedColormap

from adapters.figures import INK, TIME

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


def within(progress: float) -> float:
    """Progress as objectives know it, below 1."""
    return min(progress, LAST)
