"""A film as an animated GIF."""

import numpy as np

from adapters.plotting.pictures import Picture, animated_gif
from mpo_experiments.figures.style import INK, MUTED
from mpo_experiments.film.drawing import COLOURS, PANEL_WIDTH, ground_lines
from mpo_experiments.film.rollout import Film, Panel

PANEL_HEIGHT, MARGIN = 230, 10
GROUND_AT = 0.72
"""Height of the ground in a panel, from the top."""
GROUND = "#d5dae1"


def caption(film: Film, panel: Panel, frame: int) -> str:
    """What stands under a panel's name."""
    if panel.fell is not None and frame >= panel.fell:
        return f"return {panel.return_[frame]:.0f}, ended at {panel.fell * film.interval:.1f} s"
    return f"return {panel.return_[frame]:.0f}"


def gif_bytes(film: Film) -> bytes:
    """The film as an animated GIF."""
    return animated_gif((draw_frame(film, frame) for frame in range(film.frames)), film.interval)


def draw_frame(film: Film, frame: int) -> Picture:
    """One picture, panels side by side."""
    picture = Picture(len(film.panels) * PANEL_WIDTH, PANEL_HEIGHT)
    for place, panel in enumerate(film.panels):
        _draw_panel(picture, film, panel, frame, place)
    return picture


def _draw_panel(picture: Picture, film: Film, panel: Panel, frame: int, place: int) -> None:
    left, ground = place * PANEL_WIDTH, GROUND_AT * PANEL_HEIGHT
    scale, middle = PANEL_WIDTH / film.width, left + PANEL_WIDTH / 2
    for start, end in ground_lines(film, panel.camera[frame]):
        inside = np.clip([start[0], end[0]], -film.width / 2, film.width / 2) * scale + middle
        picture.line((inside[0], ground - start[1] * scale), (inside[1], ground - end[1] * scale), 1, GROUND)
    colour = _mixed(COLOURS[place % len(COLOURS)], panel.fell is not None and frame >= panel.fell)
    for x0, y0, x1, y1, radius in panel.capsules[frame]:
        ends = [(middle + x * scale, ground - y * scale) for x, y in ((x0, y0), (x1, y1))]
        for shade, size in (("white", radius * scale + 1.5), (colour, radius * scale)):
            picture.capsule(ends[0], ends[1], size, shade)
    picture.rectangle((left + PANEL_WIDTH - 1.5, 0), (left + PANEL_WIDTH, PANEL_HEIGHT), "white")
    picture.text((left + MARGIN, MARGIN), panel.name, 14, INK)
    picture.text((left + MARGIN, MARGIN + 19), caption(film, panel, frame), 12, MUTED)


def _mixed(colour: str, faded: bool) -> str:
    """The colour, or half of it with white."""
    if not faded:
        return colour
    parts = [int(colour[at : at + 2], 16) for at in (1, 3, 5)]
    return "#" + "".join(f"{(part + 255) // 2:02x}" for part in parts)
