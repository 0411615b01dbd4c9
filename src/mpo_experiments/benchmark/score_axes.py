"""A panel of scores: a line an objective, with the interval of its sampled actions and its mode actions beside it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from adapters.plotting.panels import Axes
from mpo_experiments.benchmark.summary import Standing
from mpo_experiments.figures.style import DASHES, INK, LEARNED, MUTED

SAMPLED, MODE = "o", "|"
"""Marks of the two kinds of actions."""
USUAL_MARKS = (
    (SAMPLED, LEARNED, "sampled actions, inter-quartile mean; bar: 95 % interval"),
    (MODE, INK, "mode actions"),
)


@dataclass(frozen=True)
class ScoreLine:
    """An objective, as it is called in the panel; without a standing its line is empty."""

    label: str
    standing: Standing | None
    colour: str = LEARNED
    mode_colour: str = INK


def draw_scores(axes: Axes, lines: Sequence[ScoreLine]) -> None:
    """Draws the lines, the first at the top: it lies at the height `len(lines) - 1`, the last one at 0."""
    for at, line in enumerate(reversed(lines)):
        if line.standing is not None:
            sampled, mode = line.standing.sampled, line.standing.mode
            axes.plot([sampled.low, sampled.high], [at, at], color=line.colour, linewidth=2, alpha=0.45)
            axes.plot(sampled.estimate, at, SAMPLED, color=line.colour, markersize=4.5)
            axes.plot(mode.estimate, at, MODE, color=line.mode_colour, markersize=8)
    for mark in (0, 1):
        axes.axvline(mark, color=MUTED, linewidth=0.7, linestyle=DASHES, zorder=0)
    axes.set_yticks(range(len(lines)), [line.label for line in reversed(lines)])
    axes.tick_params(labelsize=8, length=0)
    axes.grid(axis="y", linewidth=0.3, alpha=0.5)
    axes.spines[["top", "right", "left"]].set_visible(False)


def name_marks(axes: Axes, marks: Iterable[tuple[str, str, str]] = USUAL_MARKS) -> None:
    """Gives the axes an entry for the legend a mark: its shape, its colour, what it means."""
    for mark, colour, meaning in marks:
        axes.plot([], [], mark, color=colour, label=meaning)
