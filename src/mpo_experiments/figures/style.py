"""The look of our figures: colours, labels, legends."""

from collections.abc import Sequence
from typing import Any

from adapters.plotting.panels import Axes, Figure, text_width

INK, MUTED = "#1b1f24", "#8a939e"
LEARNED, BEST = "#c2410c", "#f3b48f"
MARKS = ("#1d4ed8", "#0f766e", "#7e22ce", "#b45309", "#be123c", "#4d7c0f")
TIME_COLOURS = ("#f3b48f", "#e0763a", "#9a3412")
"""The start, the middle and the end of training."""
SHADED = "#f1f5f9"
"""Behind the epochs of SFT."""
DASHES = (0, (4, 3))
"""Of lines that others are compared with."""


def folded(text: str, width: float, size: float) -> str:
    """A text in as many lines as keep it within a width, in inches, at a font size; it is broken at spaces alone."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if not lines[-1] or text_width(longer, size) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return "\n".join(lines)


def open_box(axes: Axes) -> None:
    """Lines at the left and below alone, and a light grid behind what is drawn."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#e5e7eb", linewidth=0.6)
    axes.set_axisbelow(True)


def tidy(axes: Axes, title: str = "", x: str = "", y: str = "") -> None:
    """Titles and small labels, for figures of many panels, in an open box."""
    axes.set_title(title, fontsize=9, color=INK)
    axes.set_xlabel(x, fontsize=8)
    axes.set_ylabel(y, fontsize=8)
    axes.tick_params(labelsize=7)
    axes.locator_params(axis="x", nbins=6)  # log-probs of trajectories have five characters
    open_box(axes)


def headed(figure: Figure, title: str, note: str = "") -> None:
    """A title over all panels, and what a reader has to know under them, where no legend stands there."""
    if title:
        figure.suptitle(title, fontsize=10, color=INK)
    if note:
        figure.supxlabel(note, fontsize=7.5, color=MUTED)


def legend_below(
    figure: Figure, note: str, columns: int, entries: tuple[Sequence[Any], Sequence[str]] = ((), ())
) -> None:
    """A legend under all panels, headed by what a reader has to know.

    Args:
        entries: handles and labels; if empty, those of all panels.
    """
    look = {"frameon": False, "fontsize": 8, "title": note, "title_fontsize": 7.5}
    figure.legend(*(entries if entries[0] else ()), loc="outside lower center", ncols=columns, **look)
