"""The weight that losses give to chosen and rejected while they train."""

from pathlib import Path

import numpy as np
from jaxtyping import Float

from adapters.plotting.panels import Axes
from mpo_experiments.figures.style import INK, LEARNED, MARKS
from mpo_experiments.show.epoch_panels import EpochLabels, draw_epochs, shade_sft
from mpo_experiments.show.html import HtmlTable
from mpo_experiments.show.inputs import Inputs
from mpo_experiments.show.pull import pulls_over_training
from mpo_experiments.show.subject import Shown

NOTE = "lines: mean over rows; bands: the middle 80 % of rows; grey background: SFT; positive raises the probability"


def draw_weights(path: Path, shown: list[Shown], inputs: list[Inputs], where: str = "") -> None:
    """A panel an objective: mean over rows at the end of every epoch; bands hold the middle 80 % of rows."""

    def draw(axes: Axes, place: int) -> None:
        _draw(axes, pulls_over_training(shown[place].objective, inputs[place]), inputs[place].sft)

    names = [one.name for one in shown]
    title = f"Gradient of chosen and rejected{where}"
    draw_epochs(path, names, draw, EpochLabels(title, "-dL / d(mean token log-prob)", NOTE, 3))


def weights_sentence(one: Shown, met: Inputs) -> str:
    """What the figure says of an objective: its gradients at both ends, and when that of the rejected is largest."""
    pulls = pulls_over_training(one.objective, met).mean(1)
    first, last = pulls[met.seen()[0]], pulls[-1]
    seen = np.array(met.seen())
    largest = int(seen[np.abs(pulls[seen, 1]).argmax()])
    return (
        f"Of {one.name}, the gradient of the chosen is {first[0]:+.2g} where it sets in and {last[0]:+.2g} at the end, "
        f"that of the rejected {first[1]:+.2g} and {last[1]:+.2g}; the latter is largest after {largest} epochs."
    )


def weights_table(shown: list[Shown], inputs: list[Inputs]) -> HtmlTable:
    """Mean gradients where each objective sets in, halfway from there, and at the end."""
    rows = []
    for one, met in zip(shown, inputs, strict=True):
        pulls, seen = pulls_over_training(one.objective, met).mean(1), met.seen()
        for moment in sorted({seen[0], seen[len(seen) // 2], seen[-1]}):
            rows.append((one.name, str(moment), f"{pulls[moment, 0]:+.3g}", f"{pulls[moment, 1]:+.3g}"))
    return HtmlTable(("objective", "epochs done", "mean gradient, chosen", "mean gradient, rejected"), tuple(rows))


def _draw(axes: Axes, pulls: Float[np.ndarray, "moment row side"], sft: int) -> None:
    moments = np.arange(len(pulls))
    for side, (name, colour) in enumerate((("chosen", LEARNED), ("rejected", MARKS[0]))):
        for part in (slice(0, sft), slice(sft, None)):  # two losses, so two lines
            own = pulls[part, :, side]
            low, high = np.quantile(own, (0.1, 0.9), axis=1)
            axes.fill_between(moments[part], low, high, color=colour, alpha=0.15, linewidth=0)
            label = name if part.stop is None else None
            axes.plot(moments[part], own.mean(1), "o-", color=colour, markersize=3, linewidth=1.6, label=label)
    axes.axhline(0, color=INK, linewidth=0.6)
    shade_sft(axes, sft)
