"""The figure of a sweep: score and rank of every objective over the number that was varied."""

from pathlib import Path

from adapters.plotting.panels import new_figure, save_figure
from mpo_experiments.benchmark.summary import standings
from mpo_experiments.benchmark.sweeps import Sweep
from mpo_experiments.benchmark.tables import short_id
from mpo_experiments.figures.style import INK, MARKS, folded

MOST_LINES = 3 * len(MARKS)
STYLES = ("-", "--", ":")
WIDTH, TITLE = 8.4, 9.0
"""Of the figure in inches, and the size of its title in points."""
FIXED_DATA = ("bin-width", "pairs")
"""Sweeps in which the kind of data is not what was varied."""


def draw_sweep(path: Path, sweep: Sweep) -> None:
    """How scores, and with them the order of objectives, move with a number; of many objectives the best are drawn."""
    scores = {value: {one.id: one for one in standings(cells)} for value, cells in sweep.cells.items()}
    together = [one.id for one in standings([cell for cells in sweep.cells.values() for cell in cells])]
    ids = together[:MOST_LINES]
    figure = new_figure(WIDTH, 4.6)
    score_axes, rank_axes = figure.subplots(1, 2)
    values = list(scores)
    for at, id in enumerate(ids):
        style = {"color": MARKS[at % len(MARKS)], "linestyle": STYLES[at // len(MARKS)], "marker": "o"}
        points = [scores[value][id].sampled for value in values]
        aside = at - len(ids) / 2  # so that intervals lie beside each other
        spread = [
            value * (1 + 0.012 * aside) if sweep.log else value + 0.0025 * aside * (values[-1] - values[0])
            for value in values
        ]
        score_axes.errorbar(
            spread,
            [one.estimate for one in points],
            yerr=[[one.estimate - one.low for one in points], [one.high - one.estimate for one in points]],
            linewidth=1.2, markersize=3, elinewidth=0.6, **style,
        )  # fmt: skip
        rank = [1 + [other for other in scores[value] if other in ids].index(id) for value in values]
        rank_axes.plot(values, rank, linewidth=1.4, markersize=4, **style)
        rank_axes.annotate(
            short_id(id), (values[-1], rank[-1]), (6, 0), textcoords="offset points", va="center", fontsize=7
        )
    for axes in (score_axes, rank_axes):
        if sweep.log:
            axes.set_xscale("log")
        axes.set_xticks(values, [f"{value:g}" for value in values])
        axes.minorticks_off()
        axes.set_xlabel(sweep.label, fontsize=8)
        axes.tick_params(labelsize=7)
        axes.grid(axis="y", linewidth=0.3, alpha=0.5)
        axes.spines[["top", "right"]].set_visible(False)
    score_axes.set_ylabel("normalised score (IQM, 95 % interval)", fontsize=8)
    rank_axes.set_ylabel("rank", fontsize=8)
    rank_axes.set_yticks(range(1, len(ids) + 1))
    rank_axes.invert_yaxis()
    rank_axes.margins(x=0.25)
    title = folded(_title(sweep, len(ids), len(together)), WIDTH - 0.4, TITLE)
    figure.suptitle(title, fontsize=TITLE, color=INK)
    save_figure(figure, path)


def _title(sweep: Sweep, drawn: int, there: int) -> str:
    cells = next(iter(sweep.cells.values()))
    fixed = sweep.name in FIXED_DATA
    places = dict.fromkeys(f"{cell.task}, {cell.data}" if fixed else cell.task for cell in cells)
    told = f"{('; ' if fixed else ', ').join(places)}; n = {cells[0].units} units {'each' if len(places) > 1 else ''}"
    return told.strip() + (f"; the best {drawn} of {there} objectives" if drawn < there else "")
