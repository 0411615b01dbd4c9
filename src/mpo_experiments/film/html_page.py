"""A film as one HTML page that plays it."""

from pathlib import Path

from mpo_experiments.film.drawing import COLOURS, PANEL_WIDTH, ground_lines
from mpo_experiments.film.rollout import Film
from mpo_experiments.page_parts import one_page

ROLES = {"original": "where training starts, score 0", "target": "the better agent, score 1"}
"""What the agents of a task are; any other was trained from the original with the objective of its name."""
PARTS = Path(__file__).parent / "page"
"""The page without the film: HTML, style and script."""


def html_page(film: Film) -> str:
    """A page that plays the film on a canvas; nothing in it comes from the network."""
    panels = [
        {
            "name": panel.name,
            "role": ROLES.get(panel.name, "trained from the original with this objective"),
            "colour": COLOURS[place % len(COLOURS)],
            "fell": panel.fell,
            "return": [round(float(value)) for value in panel.return_],
            "capsules": (1000 * panel.capsules).round().astype(int).tolist(),
            "lines": [
                [[round(1000 * v) for v in (*a, *b)] for a, b in ground_lines(film, camera)] for camera in panel.camera
            ],
        }
        for place, panel in enumerate(film.panels)
    ]
    above, below = heights(film)
    told = {
        "panels": panels, "interval": film.interval, "width": round(1000 * film.width),
        "ground": above / (above + below), "size": [PANEL_WIDTH, round(PANEL_WIDTH * (above + below))],
    }  # fmt: skip
    return one_page(PARTS, told, film.title)


def heights(film: Film) -> tuple[float, float]:
    """How much of a page's panel lies above and below the ground, in widths: as much as something moves in."""
    top = max(float((panel.capsules[..., [1, 3]].max(-1) + panel.capsules[..., 4]).max()) for panel in film.panels)
    lowest = min(float((panel.capsules[..., [1, 3]].min(-1) - panel.capsules[..., 4]).min()) for panel in film.panels)
    return 1.06 * top / film.width, max(0.06 if film.flat else 0.14, -1.06 * lowest / film.width)
