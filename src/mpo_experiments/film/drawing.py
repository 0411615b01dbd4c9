"""How a film is drawn, whatever the file: colours, width of a panel, the ground."""

import numpy as np
from jaxtyping import Float

from mpo_experiments.figures.style import LEARNED, MARKS, MUTED
from mpo_experiments.film.rollout import Film, project

PANEL_WIDTH = 300
"""In pixels."""
COLOURS = (MUTED, MARKS[0], LEARNED, *MARKS[1:])
"""Of original, target, and trained agents in turn."""
Line = tuple[tuple[float, float], tuple[float, float]]


def ground_lines(film: Film, camera: Float[np.ndarray, " axis"]) -> list[Line]:
    """The ground, with a mark or line a metre so that one sees how fast an agent moves; in metres on the picture."""
    reach = int(np.ceil(film.width)) + 1
    first = np.floor(camera).astype(int)
    if film.flat:
        marks = [float(x - camera[0]) for x in range(first[0] - reach, first[0] + reach + 1)]
        ticks = [((x, 0.0), (x, -0.04 * film.width)) for x in marks if abs(x) < film.width / 2]
        return [((-film.width / 2, 0.0), (film.width / 2, 0.0)), *ticks]
    lines = []
    for offset in range(-reach, reach + 1):
        x, y = first[0] + offset - camera[0], first[1] + offset - camera[1]
        for start, end in (((x, -reach), (x, reach)), ((-reach, y), (reach, y))):
            ends = np.array([start, end], float)
            right, up, _ = project(ends[:, 0], ends[:, 1], np.zeros(2), flat=False)
            kept = _cut(np.stack([right, up], 1), film.width / 2, 0.28 * film.width)
            lines += [kept] if kept else []
    return lines


def _cut(ends: Float[np.ndarray, "end axis"], half_width: float, half_height: float) -> Line | None:
    """The part of a line inside a box about the origin."""
    way, low, high = ends[1] - ends[0], 0.0, 1.0
    for axis, half in ((0, half_width), (1, half_height)):
        if abs(way[axis]) < 1e-9:
            if abs(ends[0, axis]) > half:
                return None
            continue
        one, other = sorted(((-half - ends[0, axis]) / way[axis], (half - ends[0, axis]) / way[axis]))
        low, high = max(low, one), min(high, other)
    if low >= high:
        return None
    (x0, y0), (x1, y1) = ends[0] + low * way, ends[0] + high * way
    return (float(x0), float(y0)), (float(x1), float(y1))
