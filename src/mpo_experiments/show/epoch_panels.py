"""A figure over the epochs of trainings: a panel an objective."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

from adapters.plotting.panels import Axes, new_figure, save_figure, whole_numbers
from mpo_experiments.figures.style import SHADED, headed, legend_below, tidy


@dataclasses.dataclass(frozen=True)
class EpochLabels:
    """What a figure over epochs says of itself."""

    title: str
    y: str
    note: str
    columns: int
    """Of the legend."""
    sharey: bool = False


def draw_epochs(path: Path, names: Sequence[str], draw: Callable[[Axes, int], None], labels: EpochLabels) -> None:
    """A panel an objective, over the epochs of its training, one legend under all.

    Args:
        draw: fills the panel of the objective at a place.
    """
    figure = new_figure(0.5 + 2.35 * len(names), 3.4)
    panels = figure.subplots(1, len(names), squeeze=False, sharey=labels.sharey)[0]
    for place, (axes, name) in enumerate(zip(panels, names, strict=True)):
        draw(axes, place)
        tidy(axes, name, "epochs done", labels.y if place == 0 else "")
        whole_numbers(axes, 6)
    headed(figure, labels.title)
    legend_below(figure, labels.note, labels.columns, panels[0].get_legend_handles_labels())
    save_figure(figure, path)


def shade_sft(axes: Axes, epochs: int) -> None:
    """Shades the epochs of SFT, which come first."""
    if epochs:
        axes.axvspan(0, epochs, color=SHADED, zorder=0)
