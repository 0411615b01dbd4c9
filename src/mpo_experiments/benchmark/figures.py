"""The figures of a benchmark, as PNG."""

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from adapters.plotting.figures import INK, LEARNED, MARKS, MUTED, save_figure
from mpo_experiments.benchmark.cell import BenchmarkCell
from mpo_experiments.benchmark.summary import Standing, standings
from mpo_experiments.benchmark.tables import Ranked, short_id

MIN_SCORE, MAX_SCORE = -1.05, 1.35
MOST_DRAWN = 30
"""Objectives in one panel."""


def draw_ranking(path: Path, cells: list[BenchmarkCell], ranked: Ranked) -> None:
    """A panel a cell: inter-quartile mean with its interval for every objective; objectives in their overall order.

    Of more than `MOST_DRAWN` objectives the best are drawn.

    Args:
        cells: of one token width.
    """
    tasks, kinds = (list(dict.fromkeys(getattr(cell, name) for cell in cells)) for name in ("task", "data"))
    ids = [one.id for one in standings(cells)]
    order = ids[:MOST_DRAWN][::-1]
    size = (1.8 + 2.5 * len(kinds), 1.4 + (0.6 + 0.21 * len(order)) * len(tasks))
    figure = Figure(figsize=size, dpi=150, layout="constrained")
    panels = figure.subplots(len(tasks), len(kinds), sharex=True, sharey=True, squeeze=False)
    for row, task in enumerate(tasks):
        for column, data in enumerate(kinds):
            there = [cell for cell in cells if (cell.task, cell.data) == (task, data)]
            _panel(panels[row, column], order, ranked[there[0].key] if there else [])
            count = f"\nn = {there[0].units} units" if there else ""
            panels[row, column].set_title(f"{task}, {data}{count}", fontsize=8, color=INK)
    for axes in panels[-1]:
        axes.set_xlabel("original 0, target 1", fontsize=8)
    handles = panels[0, 0].get_legend_handles_labels()
    title = "normalised score" + (f"; the best {MOST_DRAWN} of {len(ids)} objectives" if len(ids) > MOST_DRAWN else "")
    columns = 2 if len(kinds) > 2 else 1
    figure.legend(
        *handles, loc="outside lower center", ncols=columns, frameon=False, fontsize=7, title=title, title_fontsize=7
    )
    save_figure(figure, path)


def draw_widths(path: Path, groups: dict[float, list[BenchmarkCell]]) -> None:
    """How scores, and with them the order of objectives, move with the width of a token."""
    scores = {width: {one.id: one for one in standings(cells)} for width, cells in groups.items()}
    ids = list(next(iter(scores.values())))
    figure = Figure(figsize=(8.4, 4.6), dpi=150, layout="constrained")
    value, place = figure.subplots(1, 2)
    for at, id in enumerate(ids):
        style = {"color": MARKS[at % len(MARKS)], "linestyle": ("-", "--", ":")[at // len(MARKS) % 3], "marker": "o"}
        points = [scores[width][id].sampled for width in scores]
        widths = [width * (1 + 0.012 * (at - len(ids) / 2)) for width in scores]
        value.errorbar(
            widths,
            [one.estimate for one in points],
            yerr=[[one.estimate - one.low for one in points], [one.high - one.estimate for one in points]],
            linewidth=1.2, markersize=3, elinewidth=0.6, **style,
        )  # fmt: skip
        rank = [1 + list(scores[width]).index(id) for width in scores]
        place.plot(list(scores), rank, linewidth=1.4, markersize=4, label=id, **style)
        place.annotate(
            short_id(id), (list(scores)[-1], rank[-1]), (6, 0), textcoords="offset points", va="center", fontsize=7
        )
    for axes in (value, place):
        axes.set_xscale("log")
        axes.set_xticks(list(scores), [f"{width:g}" for width in scores])
        axes.minorticks_off()
        axes.set_xlabel("bin width, action units", fontsize=8)
        _finish(axes)
    value.set_ylabel("normalised score (IQM, 95 % interval)", fontsize=8)
    place.set_ylabel("rank", fontsize=8)
    place.set_yticks(range(1, len(ids) + 1))
    place.invert_yaxis()
    place.margins(x=0.25)
    cells = next(iter(groups.values()))
    told = "; ".join(f"{cell.task}, {cell.data}, n = {cell.units} units" for cell in cells)
    figure.suptitle(told, fontsize=9, color=INK)
    save_figure(figure, path)


def _panel(axes: Axes, order: list[str], ranked: list[Standing]) -> None:
    by_id = {one.id: one for one in ranked}
    for at, id in enumerate(order):
        if id not in by_id:
            continue
        one = by_id[id]
        axes.plot([one.sampled.low, one.sampled.high], [at, at], color=LEARNED, linewidth=2, alpha=0.45)
        names = (
            ("sampled actions, inter-quartile mean; bar: 95 % interval", "mode actions") if at == 0 else (None, None)
        )
        axes.plot(one.sampled.estimate, at, "o", color=LEARNED, markersize=4, label=names[0])
        axes.plot(one.mode.estimate, at, "|", color=INK, markersize=7, label=names[1])
    if not ranked:
        axes.text(0.5, 0.5, "not run", transform=axes.transAxes, ha="center", va="center", color=MUTED)
    for mark in (0, 1):
        axes.axvline(mark, color=MUTED, linewidth=0.6, linestyle=(0, (4, 3)), zorder=0)
    axes.set_yticks(range(len(order)), [short_id(id) for id in order])
    _finish(axes)
    axes.set_xlim(MIN_SCORE, MAX_SCORE)


def _finish(axes: Axes) -> None:
    axes.tick_params(labelsize=7)
    axes.grid(axis="y", linewidth=0.3, alpha=0.5)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
