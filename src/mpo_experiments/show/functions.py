"""phi_inv, psi and g of members of the mirror class, over the inputs that they meet and over training."""

import textwrap
from pathlib import Path

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from adapters.plotting.panels import Axes, ColourScale, colour_bar, new_figure, save_figure
from mpo_core.mirror.distillation import MAP_NAMES
from mpo_core.mirror.maps import AbstractMap
from mpo_experiments.figures.maps import INPUT_LABELS, MAP_TITLES, map_values
from mpo_experiments.figures.style import INK, MUTED, TIME_COLOURS, headed, tidy
from mpo_experiments.show.html import HtmlTable
from mpo_experiments.show.inputs import Inputs
from mpo_experiments.show.moments import TIMES, within
from mpo_experiments.show.subject import Shown

POINTS, MARGIN, RARE = 300, 0.05, 0.005
"""Points a curve, margin beside the inputs met, and the share of them at either end that is left out."""
PROGRESS_COLOURS = ColourScale(TIME_COLOURS)


def draw_functions(path: Path, shown: list[Shown], inputs: list[Inputs], where: str = "") -> None:
    """A row an objective, a column a map; colour is training progress, grey how often an input was met.

    Args:
        shown: those without a member form are left out.
        inputs: what each of them met.
    """
    members = [(one, met, one.mirror) for one, met in zip(shown, inputs, strict=True) if one.mirror is not None]
    figure = new_figure(10.0, 0.9 + 2.1 * len(members))
    panels = figure.subplots(len(members), len(MAP_NAMES), squeeze=False)
    for row, (one, met, mirror) in zip(panels, members, strict=True):
        realised = met.realised(mirror)
        for axes, name in zip(row, MAP_NAMES, strict=True):
            _draw_map(axes, getattr(mirror, name), realised[name], level=name != "psi")
            if met.trained:
                _draw_met(axes, realised[name])
            kind = {"phi_inv": mirror.bracket, "g": mirror.imitation}.get(name)
            tidy(axes, MAP_TITLES[name] if one is members[0][0] else "", INPUT_LABELS[kind] if kind else "bracket")
        row[0].set_ylabel(textwrap.fill(one.name, 16), fontsize=8.5, fontweight="bold")
    colour_bar(figure, panels, PROGRESS_COLOURS, "training progress t", TIMES)
    note = "black: the same throughout training" + ("; grey: how often met, log scale" if inputs[0].trained else "")
    headed(figure, f"The three functions{where}", f"{note}; $\\phi^{{-1}}$ and $g$ less their value at the right end")
    save_figure(figure, path)


def functions_sentence(one: Shown, met: Inputs) -> str:
    """What the figure says of an objective: how steep psi and g are where it met them, at the start and at the end."""
    assert one.mirror is not None
    lines = {line[1]: line for line in _lines(one, met)}
    words = [f"that of {sign} from {lines[sign][4]} to {lines[sign][5]}" for sign in ("ψ", "g")]
    return (
        f"Over the inputs of {one.name}, the mean slope of φ⁻¹ goes from {lines['φ⁻¹'][4]} at the start of training to "
        f"{lines['φ⁻¹'][5]} at its end, {words[0]} and {words[1]}."
    )


def functions_table(shown: list[Shown], inputs: list[Inputs]) -> HtmlTable:
    """Realised inputs and mean slopes of every map."""
    rows = [line for one, met in zip(shown, inputs, strict=True) if one.mirror for line in _lines(one, met)]
    columns = ("objective", "function", "inputs, 5 % to 95 %", "median", "mean slope, t = 0", "mean slope, t = 1")
    return HtmlTable(columns, tuple(rows), "Mean slope: between the 5 % and the 95 % quantile of the inputs.")


def _lines(one: Shown, met: Inputs) -> list[tuple[str, ...]]:
    assert one.mirror is not None
    realised, found = met.realised(one.mirror), []
    for name, sign in zip(MAP_NAMES, ("φ⁻¹", "ψ", "g"), strict=True):
        low, middle, high = np.quantile(realised[name], (0.05, 0.5, 0.95))
        slopes = [_mean_slope(getattr(one.mirror, name), low, high, within(time)) for time in (0.0, 1.0)]
        met_from, met_to, median, *steep = (_short(value) for value in (low, high, middle, *slopes))
        found.append((one.name, sign, f"{met_from} to {met_to}", median, *steep))
    return found


def _short(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.2g}"


def changes_in_time(function: AbstractMap, x: Float[np.ndarray, " point"]) -> bool:
    """Whether a map is another one later in training."""
    first, *others = (np.asarray(map_values(function, jnp.asarray(x, jnp.float32), within(time))) for time in TIMES)
    return not all(np.allclose(first, other, rtol=1e-5, atol=1e-6) for other in others)


def _draw_map(axes: Axes, function: AbstractMap, met: Float[np.ndarray, " value"], *, level: bool) -> None:
    low, high = np.quantile(met, (RARE, 1 - RARE))
    pad = MARGIN * max(high - low, 1e-3)
    x = np.linspace(low - pad, min(high + pad, -1e-3) if level else high + pad, POINTS, dtype=np.float32)
    moving = changes_in_time(function, x)
    for time in TIMES if moving else (0.5,):
        values = np.asarray(map_values(function, jnp.asarray(x), within(time)))
        # constants of phi_inv and g change no gradient
        shown = values - values[-1] if level else values
        axes.plot(x, shown, color=PROGRESS_COLOURS(time) if moving else INK, linewidth=1.6)
        if not moving and np.ptp(values) == 0:
            axes.set_ylim(-1, 1)
    axes.set_xlim(float(x[0]), float(x[-1]))


def _draw_met(axes: Axes, met: Float[np.ndarray, " value"]) -> None:
    """How often an input was met, on a logarithmic scale of its own behind the curves."""
    behind = axes.twinx()
    behind.hist(met, bins=60, range=axes.get_xlim(), color=MUTED, alpha=0.25, log=True)
    behind.set_axis_off()
    behind.set_ylim(0.5, behind.get_ylim()[1] ** 3)
    axes.set_zorder(behind.get_zorder() + 1)
    axes.patch.set_visible(False)


def _mean_slope(function: AbstractMap, low: float, high: float, time: float) -> float:
    ends = jnp.asarray([low, max(high, low + 1e-6)], jnp.float32)
    first, last = np.asarray(map_values(function, ends, time), float)
    return (last - first) / float(ends[1] - ends[0])
