"""What the figures of `mpo show` have in common."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.colorbar import Colorbar
from matplotlib.colors import Colormap, LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from adapters.plotting.figures import INK, MUTED, TIME, save_figure

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


def headed(figure: Figure, title: str, note: str = "") -> None:
    """A title over all panels, and what a reader has to know under them, where no legend stands there."""
    if title:
        figure.suptitle(title, fontsize=10, color=INK)
    if note:
        figure.supxlabel(note, fontsize=7.5, color=MUTED)


@dataclasses.dataclass(frozen=True)
class EpochLabels:
    """What a figure over epochs says of itself."""

    title: str
    y: str
    note: str
    columns: int
    """Of the legend."""
    sharey: bool = False


def epoch_panels(path: Path, names: Sequence[str], draw: Callable[[Axes, int], None], labels: EpochLabels) -> None:
    """A panel an objective, over the epochs of its training, one legend under all.

    Args:
        draw: fills the panel of the objective at a place.
    """
    figure = Figure(figsize=(0.5 + 2.35 * len(names), 3.4), dpi=150, layout="constrained")
    panels = figure.subplots(1, len(names), squeeze=False, sharey=labels.sharey)[0]
    for place, (axes, name) in enumerate(zip(panels, names, strict=True)):
        draw(axes, place)
        tidy(axes, name, "epochs done", labels.y if place == 0 else "")
        axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True, min_n_ticks=1))
    headed(figure, labels.title)
    handles, names_of_lines = panels[0].get_legend_handles_labels()
    figure.legend(
        handles, names_of_lines, loc="outside lower center", ncols=labels.columns, frameon=False, fontsize=8,
        title=labels.note, title_fontsize=7.5,
    )  # fmt: skip
    save_figure(figure, path)


def within(progress: float) -> float:
    """Progress as objectives know it, below 1."""
    return min(progress, LAST)
