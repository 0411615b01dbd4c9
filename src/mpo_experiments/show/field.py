"""The gradient field of a loss over the mean token log-probs of chosen and rejected."""

import dataclasses
from pathlib import Path

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from adapters.plotting.panels import Axes, ColourScale, colour_bar, new_figure, save_figure
from mpo_core.objective.pair_log_probs import PairLogProbs
from mpo_experiments.figures.style import DASHES, INK, MARKS, MUTED, headed, tidy
from mpo_experiments.show.html import HtmlTable
from mpo_experiments.show.inputs import HIGHEST, Inputs
from mpo_experiments.show.moments import within
from mpo_experiments.show.pull import depends_on_time, row_pulls
from mpo_experiments.show.subject import Shown

FIELD_TIMES = (0.0, 0.5, 1.0)
ARROWS, CELLS = 13, 5
"""Arrows along an axis, and coloured cells an arrow: an odd number, so that one lies in the middle."""
WEAKEST = 1e-3
"""Gradients below this share of the strongest have no arrow and no colour."""
STRENGTH_COLOURS = ColourScale(("#ffffff", "#fbe3d3", "#f3b48f", "#e0763a"), WEAKEST, 1.0, log=True)
NOTE = "arrows: minus the gradient; dashed: both alike"
Panel = tuple[Shown, Inputs, float | None]
"""An objective, what it met, and when; None where that makes no difference."""


@dataclasses.dataclass(frozen=True)
class PlotRange:
    """The range shown, the same for every objective."""

    low: float
    high: float

    def axis(self, points: int) -> Float[np.ndarray, " point"]:
        """Centres of equal cells."""
        edges = np.linspace(self.low, self.high, points + 1)
        return (edges[1:] + edges[:-1]) / 2


def frame_of(inputs: Inputs) -> PlotRange:
    """The mean token log-probs that a training met: the middle 96 % of rows, and the mean row at every moment."""
    means = inputs.means
    ends = np.concatenate([np.quantile(means, (0.02, 0.98)), means.mean(1).ravel()])
    low, high = float(ends.min()), float(ends.max())
    pad = 0.08 * max(high - low, 0.1)
    return PlotRange(low - pad, min(high + pad, HIGHEST))


def draw_field(path: Path, shown: list[Shown], inputs: list[Inputs], where: str = "") -> None:
    """A panel an objective and, where it sees progress, three: arrows point where gradient descent takes the pair.

    Args:
        shown: the objective in question first; the frame is what its training met.
        inputs: what each of them met.
    """
    frame = frame_of(inputs[0])
    lines = _lines(shown, inputs)
    columns = max(len(line) for line in lines)
    figure = new_figure(0.9 + 2.6 * columns, 0.9 + 2.9 * len(lines))
    panels = figure.subplots(len(lines), columns, squeeze=False, sharex=True, sharey=True)
    for row, line in zip(panels, lines, strict=True):
        for axes in row[len(line) :]:
            axes.set_axis_off()
        fields = [field(one, met, frame, within(time or 0.0)) for one, met, time in line]
        strongest: dict[str, float] = {}
        for (one, _, _), pulls in zip(line, fields, strict=True):
            strongest[one.name] = max(strongest.get(one.name, 1e-30), float(np.linalg.norm(pulls, axis=-1).max()))
        for axes, (one, met, time), pulls in zip(row, line, fields, strict=False):
            title = one.name if time is None else f"{one.name}\nt = {time:g}"
            _draw_panel(axes, met, frame, pulls / strongest[one.name])
            tidy(axes, title, "chosen", "rejected" if axes is row[0] else "")
            axes.grid(visible=False)
    for axes in panels.ravel():
        axes.tick_params(labelbottom=True, labelleft=True)
    colour_bar(figure, panels, STRENGTH_COLOURS, "length of the gradient, as a share of the objective's longest")
    met = "; grey dots: rows; blue: the mean row, epoch by epoch" if inputs[0].trained else ""
    headed(figure, f"Where gradient descent takes a pair{where}", f"axes: mean token log-prob; {NOTE}{met}")
    save_figure(figure, path)


def field_sentence(shown: list[Shown], inputs: list[Inputs]) -> str:
    """What the figure says: how much of each objective's gradient is the chosen's, at the start and at the end."""
    words = [
        f"{first[4]} and {last[4]} ({one.name})"
        for one, met in zip(shown, inputs, strict=True)
        for first, last in [_ends(one, met)]
    ]
    return f"The chosen's share of the gradient, where an objective sets in and at the end: {', '.join(words)}."


def field_table(shown: list[Shown], inputs: list[Inputs]) -> HtmlTable:
    """What the gradients at the rows are, where each objective sets in and at the end."""
    rows = [line for one, met in zip(shown, inputs, strict=True) for line in _ends(one, met)]
    columns = ("objective", "when", "rows with the chosen raised", "rows with the rejected lowered", "chosen's share")
    return HtmlTable(columns, tuple(rows))


def _ends(one: Shown, met: Inputs) -> list[tuple[str, ...]]:
    found = []
    for word, moment in (("sets in", met.seen()[0]), ("end", met.seen()[-1])):
        pulls = row_pulls(one.objective, met.pair(moment), float(met.progress[moment]))
        up, down = (pulls[:, 0] > 0).mean(), (pulls[:, 1] < 0).mean()
        chosen, rejected = np.abs(pulls).mean(0)
        share = chosen / max(chosen + rejected, 1e-30)
        found.append((one.name, word, f"{up:.0%}", f"{down:.0%}", f"{share:.0%}"))
    return found


def field(one: Shown, inputs: Inputs, frame: PlotRange, progress: float) -> Float[np.ndarray, "rejected chosen side"]:
    """Gradients on a grid of `ARROWS * CELLS` points along either axis.

    The reference, lengths and margin are those of the middle row that the objective met.
    """
    points = ARROWS * CELLS
    axis = frame.axis(points)
    chosen, rejected = (grid.ravel() for grid in np.meshgrid(axis, axis))
    tokens, margin = np.median(inputs.tokens, 0), float(np.median(inputs.margin))
    reference = np.median(inputs.reference[-1] / inputs.tokens, 0) * tokens
    everywhere = np.ones_like(chosen)
    columns = (chosen * tokens[0], rejected * tokens[1], *(value * everywhere for value in (*reference, *tokens)))
    pair = PairLogProbs(*(jnp.asarray(x, jnp.float32) for x in columns), margin=jnp.asarray(margin * everywhere))
    return row_pulls(one.objective, pair, progress).reshape(points, points, 2)


def _lines(shown: list[Shown], inputs: list[Inputs]) -> list[list[Panel]]:
    """Panels line by line: one line for those that see no progress, then each of the others at three times."""
    temporal = [depends_on_time(one.objective, met) for one, met in zip(shown, inputs, strict=True)]
    found = list(zip(shown, inputs, temporal, strict=True))
    static: list[list[Panel]] = [[(one, met, None) for one, met, changes in found if not changes]]
    moving: list[list[Panel]] = [[(one, met, time) for time in FIELD_TIMES] for one, met, changes in found if changes]
    return [line for line in (static + moving if not temporal[0] else moving + static) if line]


def _draw_panel(axes: Axes, met: Inputs, frame: PlotRange, pulls: Float[np.ndarray, "rejected chosen side"]) -> None:
    """One field.

    Args:
        pulls: as shares of the strongest.
    """
    edges, size = np.linspace(frame.low, frame.high, len(pulls) + 1), np.linalg.norm(pulls, axis=-1)
    colours = {"norm": STRENGTH_COLOURS.norm, "cmap": STRENGTH_COLOURS.map}
    axes.pcolormesh(edges, edges, np.clip(size, WEAKEST, 1), **colours)
    axes.plot([frame.low, frame.high], [frame.low, frame.high], color=MUTED, linewidth=0.8, linestyle=DASHES)
    middle = slice(CELLS // 2, None, CELLS)
    length = size[middle, middle, None]
    arrows = np.where(length > WEAKEST, pulls[middle, middle] / np.maximum(length, WEAKEST), np.nan)
    x, y = np.meshgrid(frame.axis(ARROWS), frame.axis(ARROWS))
    axes.quiver(
        x, y, arrows[..., 0], arrows[..., 1], color=INK, pivot="mid", angles="xy", scale_units="xy",
        scale=1.35 * ARROWS / (frame.high - frame.low), width=0.006, headwidth=4, headlength=4, alpha=0.75,
    )  # fmt: skip
    if met.trained:
        rows, path = met.means[0], met.means.mean(1)
        axes.plot(*rows.T, ".", color=MUTED, markersize=2, alpha=0.6)
        axes.plot(*path.T, "o-", color=MARKS[0], markersize=2.5, linewidth=1.2)
    axes.set(xlim=(frame.low, frame.high), ylim=(frame.low, frame.high), aspect="equal")
