"""What `mpo train` says: how the policy and its view of the pairs change, epoch by epoch."""

from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from adapters.plotting.panels import new_figure, save_figure, whole_numbers
from mpo_core.evaluation.learning_curve import LearningCurve
from mpo_experiments.figures.style import INK, LEARNED, MUTED, SHADED, headed, open_box
from mpo_experiments.text_table import TextTable

QUANTITIES = ("accuracy", "margin", "chosen_mean", "rejected_mean", "clamped")
CAPTION = (
    "score: mean normalised score of the units after the epoch, sampled actions; "
    "accuracy: share of rows whose chosen trajectory is the likelier one; "
    "margin: mean token log-prob of chosen minus rejected; "
    "clamped: share of trajectories whose mean token log-prob lies above log(1 - 1e-6)"
)


def curve_table(curve: LearningCurve, scores: Float[np.ndarray, "unit epoch"], sft_epochs: int) -> TextTable:
    """An epoch a line, means over units, within 80 columns."""
    rows = []
    for epoch in range(scores.shape[1]):
        accuracy, margin, chosen, rejected, clamped = (getattr(curve, name)[:, epoch].mean() for name in QUANTITIES)
        rows.append(
            (
                f"{epoch + 1}{' sft' if epoch < sft_epochs else ''}", f"{scores[:, epoch].mean():.3f}",
                f"{accuracy:.1%}", f"{margin:.3f}", f"{chosen:.3f}", f"{rejected:.3f}", f"{clamped:.1%}",
            )
        )  # fmt: skip
    columns = ("epoch", "score", "accuracy", "margin", "chosen", "rejected", "clamped")
    return TextTable("Epoch by epoch", columns, tuple(rows), CAPTION)


def curve_values(curve: LearningCurve, scores: Float[np.ndarray, "unit epoch"]) -> dict[str, Any]:
    """Every quantity as lists (unit, epoch), for JSON."""
    quantities = {"score": scores} | {name: getattr(curve, name) for name in (*QUANTITIES, "loss")}
    return {name: _json_numbers(values) for name, values in quantities.items()}


def divergence_note(curve: LearningCurve, updates_an_epoch: int) -> str | None:
    """Where training broke: the first update whose loss or gradient was not finite; None where all were finite."""
    bad = curve.first_bad[curve.first_bad >= 0]
    if not bad.size:
        return None
    first, units = int(bad.min()), f"{bad.size} of {curve.first_bad.size} units"
    return (
        f"Diverged in {units}: first at update {first + 1} (epoch {first // updates_an_epoch + 1}), "
        "whose loss or gradient is not finite; a policy without a finite return scores -1"
    )


def _json_numbers(values: Float[np.ndarray, "unit epoch"]) -> list[list[float | None]]:
    """Nested lists; null for what is not finite, as JSON has no NaN."""
    return [[float(value) if np.isfinite(value) else None for value in row] for row in values]


def draw_curve(
    path: Path, curve: LearningCurve, scores: Float[np.ndarray, "unit epoch"], sft_epochs: int, title: str
) -> None:
    """Score, accuracy and log-probs over epochs; thin lines are units."""
    figure = new_figure(10.5, 3.4)
    panels = figure.subplots(1, 3)
    epochs = np.arange(1, scores.shape[1] + 1)
    shown = (
        (panels[0], "normalised score", ((scores, LEARNED, None),)),
        (panels[1], "preference accuracy", ((curve.accuracy, INK, None),)),
        (
            panels[2],
            "mean token log-prob",
            ((curve.chosen_mean, LEARNED, "chosen"), (curve.rejected_mean, MUTED, "rejected")),
        ),
    )
    for axes, name, lines in shown:
        for values, colour, label in lines:
            axes.plot(epochs, np.asarray(values).T, color=colour, linewidth=0.6, alpha=0.4)
            axes.plot(epochs, np.asarray(values).mean(0), "o-", color=colour, linewidth=2, markersize=3, label=label)
        if sft_epochs:
            axes.axvspan(0.5, sft_epochs + 0.5, color=SHADED, zorder=0)
        axes.set(xlabel="epoch", title=name)
        whole_numbers(axes)
        open_box(axes)
    panels[2].legend(frameon=False, fontsize=8)
    note = "bold: mean over units; thin: each unit; score: original 0, target 1"
    shading = "; grey background: SFT" if sft_epochs else ""
    headed(figure, f"{title}, n = {len(scores)} units", note + shading)
    save_figure(figure, path)
