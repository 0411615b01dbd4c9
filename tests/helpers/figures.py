"""Whether a figure holds all that is drawn on it."""

from matplotlib.figure import Figure

TOLERANCE = 0.03
"""Inches by which the ink of a letter may leave its figure."""


def left_out(figure: Figure) -> float:
    """By how many inches what is drawn on a figure leaves it, at the side where it leaves it the furthest."""
    figure.draw_without_rendering()
    drawn, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
    return max(-drawn.x0, -drawn.y0, drawn.x1 - width, drawn.y1 - height)


def save_whole(figure: Figure, *arguments, save=Figure.savefig, **settings) -> None:
    """Saves a figure, and refuses one off which something is cut."""
    save(figure, *arguments, **settings)
    assert left_out(figure) <= TOLERANCE, f"{arguments}: {left_out(figure):.2f} inches are cut off"
