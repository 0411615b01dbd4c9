"""Matplotlib's figures and axes, and what our figures need beside them; figures are saved as PNG.

No window and no global state: `Figure` draws without pyplot, so that figures can be made anywhere.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes as Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, LinearSegmentedColormap, LogNorm, Normalize
from matplotlib.figure import Figure as Figure
from matplotlib.textpath import TextPath
from matplotlib.ticker import MaxNLocator, PercentFormatter

POINTS = 72
"""An inch."""


def new_figure(width: float, height: float) -> Figure:
    """An empty figure, its size in inches, whose panels make room for their labels."""
    return Figure(figsize=(width, height), dpi=150, layout="constrained")


def save_figure(figure: Figure, path: Path) -> None:
    """A PNG whose bytes do not name the library's version; its folder is made if need be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Software": None})


def text_width(text: str, size: float) -> float:
    """How wide a line of text is in a figure, in inches; its size is in points."""
    return TextPath((0, 0), text, size=size).get_extents().width / POINTS if text else 0.0


def whole_numbers(axes: Axes, most: int = 10) -> None:
    """Puts the ticks of the x axis at whole numbers: one at least, with at most so many intervals between them."""
    axes.xaxis.set_major_locator(MaxNLocator(nbins=most, integer=True, min_n_ticks=1))


def percentages(axes: Axes) -> None:
    """Shares of the y axis as percentages."""
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))


@dataclass(frozen=True)
class ColourScale:
    """Colours of the numbers from `low` to `high`, evenly or by their logarithm."""

    colours: tuple[str, ...]
    low: float = 0.0
    high: float = 1.0
    log: bool = False

    @property
    def map(self) -> Colormap:
        """Matplotlib's form of the colours."""
        return LinearSegmentedColormap.from_list("scale", self.colours)

    @property
    def norm(self) -> Normalize:
        """Matplotlib's form of the range."""
        return (LogNorm if self.log else Normalize)(self.low, self.high)

    def __call__(self, value: float) -> tuple[float, ...]:
        """The colour of a number."""
        return self.map(self.norm(value))


def colour_bar(figure: Figure, panels: np.ndarray, scale: ColourScale, label: str, ticks: Sequence[float] = ()) -> None:
    """Says beside panels what the colours mean, in the size of the panels' labels."""
    mappable = ScalarMappable(scale.norm, scale.map)
    bar = figure.colorbar(mappable, ax=panels, ticks=ticks or None, aspect=50, pad=0.01)
    bar.set_label(label, fontsize=8)
    bar.ax.tick_params(labelsize=7)


def font_file() -> Path:
    """The TrueType font that matplotlib brings."""
    return Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
