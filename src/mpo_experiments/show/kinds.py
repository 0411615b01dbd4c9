"""Which kinds of pairs a loss trains on: the share of its whole gradient that goes to each, over training."""

from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from adapters.plotting.panels import Axes, percentages
from mpo_experiments.figures.style import INK, LEARNED, MARKS, MUTED
from mpo_experiments.show.epoch_panels import EpochLabels, draw_epochs, shade_sft
from mpo_experiments.show.html import HtmlTable
from mpo_experiments.show.inputs import Inputs
from mpo_experiments.show.pull import pulls_over_training
from mpo_experiments.show.subject import Shown

KINDS: dict[tuple[int, int], tuple[str, str]] = {
    (1, 0): ("target chosen over original", LEARNED),
    (0, 1): ("original chosen over target", MARKS[4]),
    (0, 0): ("both original", MUTED),
    (1, 1): ("both target", MARKS[1]),
    (2, 2): ("both other", MARKS[2]),
    (2, 0): ("other chosen over original", MARKS[0]),
    (0, 2): ("original chosen over other", MARKS[3]),
    (1, 2): ("target chosen over other", MARKS[5]),
    (2, 1): ("other chosen over target", INK),
}
"""Who made the chosen and the rejected trajectory (places in `AGENTS`): a name and a colour."""


def kinds_met(source: Int[np.ndarray, "row side"]) -> dict[tuple[int, int], Float[np.ndarray, " row"]]:
    """The rows of every kind that the data hold, as ones among zeros."""
    found = {kind: (source == np.array(kind)).all(1).astype(float) for kind in KINDS}
    return {kind: rows for kind, rows in found.items() if rows.any()}


def shares_over_training(one: Shown, met: Inputs) -> dict[tuple[int, int], Float[np.ndarray, " moment"]]:
    """Share of the sum over rows of |gradient of the chosen| + |of the rejected| that falls on each kind of rows."""
    assert met.source is not None
    strength = np.abs(pulls_over_training(one.objective, met)).sum(-1)
    whole = np.maximum(strength.sum(1), 1e-30)
    return {kind: strength @ rows / whole for kind, rows in kinds_met(met.source).items()}


NOTE = "share of |gradient of the chosen| + |of the rejected|; dashed: share of the rows; grey background: SFT"


def draw_kinds(path: Path, shown: list[Shown], inputs: list[Inputs], where: str = "") -> None:
    """A panel an objective; dashed lines are the kinds' shares of the rows."""

    def draw(axes: Axes, place: int) -> None:
        _draw(axes, shown[place], inputs[place])

    names = [one.name for one in shown]
    title = f"Which pairs a loss trains on{where}"
    draw_epochs(path, names, draw, EpochLabels(title, "share of the gradient", NOTE, 4, sharey=True))


def kinds_sentence(one: Shown, met: Inputs) -> str:
    """What the figure says of an objective: where its gradient goes most out of proportion."""
    assert met.source is not None
    shares, rows = shares_over_training(one, met), kinds_met(met.source)
    seen = np.array(met.seen())
    halves = seen[: (len(seen) + 1) // 2], seen[len(seen) // 2 :]
    kind = max(shares, key=lambda kind: abs(shares[kind][halves[1]].mean() - rows[kind].mean()))
    early, late = (shares[kind][half].mean() for half in halves)
    return (
        f"{one.name} gives {early:.0%} of its gradient to the rows with {_who(kind)} in the first half of its training "
        f"and {late:.0%} in the second; they are {rows[kind].mean():.0%} of all rows."
    )


def kinds_table(shown: list[Shown], inputs: list[Inputs]) -> HtmlTable:
    """Shares where each objective sets in, halfway from there, and at the end, beside those of the rows."""
    rows = []
    for one, met in zip(shown, inputs, strict=True):
        assert met.source is not None
        held, seen = kinds_met(met.source), met.seen()
        moments = [seen[0], seen[len(seen) // 2], seen[-1]]
        for kind, share in shares_over_training(one, met).items():
            rows.append((one.name, _who(kind), f"{held[kind].mean():.0%}", *(f"{share[at]:.0%}" for at in moments)))
    return HtmlTable(
        ("objective", "rows", "of all rows", "share of the gradient: first", "halfway", "last"), tuple(rows)
    )


def _who(kind: tuple[int, int]) -> str:
    return KINDS[kind][0]


def _draw(axes: Axes, one: Shown, met: Inputs) -> None:
    assert met.source is not None
    held = kinds_met(met.source)
    for kind, share in shares_over_training(one, met).items():
        name, colour = KINDS[kind]
        axes.plot(np.arange(len(share)), share, "o-", color=colour, markersize=3, linewidth=1.6, label=name)
        axes.axhline(held[kind].mean(), color=colour, linewidth=0.9, linestyle="--")
    axes.set_ylim(0, 1)
    percentages(axes)
    shade_sft(axes, met.sft)
