"""A distilled objective beside the original: the three maps over the inputs they were given."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from adapters.plotting.figures import INK, TIME, save_figure
from mpo_core.mirror.distillation import MAP_NAMES, Slopes, values_of
from mpo_core.mirror.mirror_objective import MirrorObjective
from mpo_core.mirror.realised import Realised

TITLES = {
    "phi_inv": r"$\phi^{-1}$: what the bracket compares", "psi": r"$\psi$: reward of the bracket",
    "g": r"$g$: imitation of the chosen",
}  # fmt: skip
MOMENTS = (0.0, 0.5, 0.95)


def draw_distilled(path: Path, original: MirrorObjective, closed: MirrorObjective, samples: Realised) -> None:
    """Each map less its value in the middle of the range, at three moments of training; ticks mark the inputs."""
    figure = Figure(figsize=(11.5, 3.8), dpi=150, layout="constrained")
    seen = Slopes(original, samples)
    for axes, name in zip(figure.subplots(1, 3), MAP_NAMES, strict=True):
        given = seen.inputs(name)[0]
        low, high = np.quantile(given, [0.002, 0.998])
        x = np.linspace(low, max(high, low + 1e-6), 300)
        for moment, colour in zip(MOMENTS, TIME, strict=True):
            for one, style, label in ((original, "-", "original"), (closed, "--", "closed form")):
                values = values_of(getattr(one, name), x, np.full(len(x), moment))
                colour_of = colour if style == "-" else INK
                width = 2.5 if style == "-" else 1
                shown = f"{label}, t = {moment:g}"
                axes.plot(x, values - values[len(x) // 2], style, color=colour_of, linewidth=width, label=shown)
        ticks = np.quantile(given, np.linspace(0.01, 0.99, 60))
        axes.plot(ticks, np.full(60, 0.01), "|", color=INK, alpha=0.4, transform=axes.get_xaxis_transform())
        axes.set(title=TITLES[name], xlabel="bracket" if name == "psi" else "log-prob")
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(color="#e5e7eb", linewidth=0.6)
    figure.axes[0].legend(frameon=False, fontsize=7)
    save_figure(figure, path)
