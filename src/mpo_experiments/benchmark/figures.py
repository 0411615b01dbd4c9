"""The figures of a benchmark, as PNG."""

from pathlib import Path

from adapters.plotting.panels import Axes, new_figure, save_figure, text_width
from mpo_experiments.benchmark.cell import BenchmarkCell
from mpo_experiments.benchmark.score_axes import ScoreLine, draw_scores, name_marks
from mpo_experiments.benchmark.summary import Standing, standings
from mpo_experiments.benchmark.tables import Ranked, short_id
from mpo_experiments.figures.style import INK, LEARNED, MUTED, folded

MIN_SCORE, MAX_SCORE = -1.05, 1.35
"""What an axis shows at most."""
MARGIN = 0.08
MOST_DRAWN = 30
"""Objectives in one panel."""
PANEL, LABELS, BESIDE = 2.5, 1.4, 0.4
"""Widths in inches: of a panel, of the objectives' ids at least, and of what else there is."""
FONT = 8.0
"""Of titles and ids, in points."""


def draw_ranking(path: Path, cells: list[BenchmarkCell], ranked: Ranked) -> None:
    """A panel a cell: inter-quartile mean with its interval for every objective; objectives in their overall order.

    Of more than `MOST_DRAWN` objectives the best are drawn.

    Args:
        cells: of one token width and number of pairs.
    """
    tasks, kinds = (list(dict.fromkeys(getattr(cell, name) for cell in cells)) for name in ("task", "data"))
    ids = [one.id for one in standings(cells)]
    order = ids[:MOST_DRAWN]
    labels = max([LABELS, *(text_width(short_id(id), FONT) for id in order)])
    figure = new_figure(BESIDE + labels + PANEL * len(kinds), 1.4 + (0.6 + 0.21 * len(order)) * len(tasks))
    panels = figure.subplots(len(tasks), len(kinds), sharex=True, sharey=True, squeeze=False)
    for row, task in enumerate(tasks):
        for column, data in enumerate(kinds):
            there = [cell for cell in cells if (cell.task, cell.data) == (task, data)]
            _panel(panels[row, column], order, ranked[there[0].key] if there else [])
            count = f"\nn = {there[0].units} units" if there else ""
            title = folded(f"{task}, {data}", PANEL, FONT)
            panels[row, column].set_title(f"{title}{count}", fontsize=FONT, color=INK)
    for axes in panels[-1]:
        axes.set_xlabel("normalised score: original 0, target 1", fontsize=FONT)
    panels[0, 0].set_xlim(*_limits([one for cell in cells for one in ranked[cell.key] if one.id in order]))
    name_marks(panels[0, 0])
    handles = panels[0, 0].get_legend_handles_labels()
    title = f"the best {MOST_DRAWN} of {len(ids)} objectives" if len(ids) > MOST_DRAWN else None
    columns = 2 if len(kinds) > 2 else 1
    figure.legend(
        *handles, loc="outside lower center", ncols=columns, frameon=False, fontsize=7, title=title, title_fontsize=7
    )
    save_figure(figure, path)


def _panel(axes: Axes, order: list[str], ranked: list[Standing]) -> None:
    by_id = {one.id: one for one in ranked}
    draw_scores(axes, [ScoreLine(short_id(id), by_id.get(id)) for id in order])
    for at, id in enumerate(reversed(order)):
        if id in by_id:
            _off_the_scale(axes, at, by_id[id])
    if not ranked:
        axes.text(0.5, 0.5, "not run", transform=axes.transAxes, ha="center", va="center", color=MUTED)


def _limits(drawn: list[Standing]) -> tuple[float, float]:
    """Of the axis of scores: 0, 1 and all that is drawn, as far as an axis goes."""
    values = [value for one in drawn for value in (one.sampled.low, one.sampled.high, one.mode.estimate)]
    return max(MIN_SCORE, min(0.0, *values) - MARGIN), min(MAX_SCORE, max(1.0, *values) + MARGIN)


def _off_the_scale(axes: Axes, at: int, one: Standing) -> None:
    """What lies beyond the axis as an arrow at its end, with its score."""
    values = {"": one.sampled.estimate, "mode ": one.mode.estimate}
    for end, inwards in ((MIN_SCORE, 1), (MAX_SCORE, -1)):
        beyond = {name: value for name, value in values.items() if inwards * (end - value) > 0}
        if beyond:
            axes.annotate(
                " / ".join(f"{name}{value:.1f}" for name, value in beyond.items()),
                (end, at), (inwards * 16, 0), textcoords="offset points", fontsize=6, color=INK,
                va="center", ha="left" if inwards > 0 else "right",
                bbox={"color": "white", "pad": 1}, arrowprops={"arrowstyle": "-|>", "color": LEARNED, "linewidth": 0.8},
            )  # fmt: skip
