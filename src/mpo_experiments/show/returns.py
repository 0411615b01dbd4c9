"""Return curves of several objectives, epoch by epoch."""

from pathlib import Path

import numpy as np
from jaxtyping import Float

from adapters.plotting.panels import new_figure, save_figure, whole_numbers
from mpo_core.evaluation.statistics import mean_interval, paired_difference
from mpo_experiments.figures.style import DASHES, LEARNED, MARKS, MUTED, headed, legend_below, tidy
from mpo_experiments.show.subject import Shown

Curves = list[Float[np.ndarray, "unit epoch"]]


def draw_returns(path: Path, shown: list[Shown], curves: Curves, title: str) -> None:
    """Mean normalised score over units after every epoch, thin lines the units of the objective in question."""
    figure = new_figure(7.6, 4.2)
    axes = figure.subplots()
    colours = (LEARNED, *MARKS)
    for place, (one, scores) in enumerate(zip(shown, curves, strict=True)):
        epochs = np.arange(1, scores.shape[1] + 1)
        if not place:
            axes.plot(epochs, scores.T, color=colours[place], linewidth=0.6, alpha=0.4)
        style = {"linewidth": 1.4 if place else 2.4, "zorder": 2 if place else 3}
        axes.plot(epochs, scores.mean(0), "o-", color=colours[place], markersize=3, label=one.name, **style)
    for mark in (0, 1):
        axes.axhline(mark, color=MUTED, linewidth=0.8, linestyle=DASHES, zorder=1)
    tidy(axes, "", "epoch", "normalised score (original 0, target 1)")
    units = len(curves[0])
    headed(figure, f"{title}, n = {units} units")
    note = f"lines: mean over units; thin: each unit of {shown[0].name}"
    whole_numbers(axes)
    legend_below(figure, note, 5)
    save_figure(figure, path)


def returns_sentence(shown: list[Shown], curves: Curves) -> str:
    """Scores after the last epoch, and the objective in question against the best of the others."""
    last = [scores[:, -1] for scores in curves]
    scores = "; ".join(f"{one.name} {mean_interval(value)}" for one, value in zip(shown, last, strict=True))
    best = 1 + int(np.argmax([value.mean() for value in last[1:]]))
    difference = paired_difference(last[0], last[best])
    return (
        f"After the last epoch, mean of {len(last[0])} units with 95 % t interval: {scores}. {shown[0].name} minus "
        f"{shown[best].name}, paired by unit: {difference}."
    )
