"""A diagnosis for people: lines, JSON values, and one HTML page that needs nothing else."""

import dataclasses
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from adapters.plotting.panels import new_figure, save_figure
from adapters.storage.files import write_whole
from mpo_experiments.diagnose.label_noise import LEAST_ROWS
from mpo_experiments.diagnose.run import Diagnosis
from mpo_experiments.figures.style import INK, LEARNED, MUTED
from mpo_experiments.objectives.frames import LEAST_WIDTH
from mpo_experiments.show.html import HtmlTable, Section, page

STRONG = 0.2
"""Correlation of length and label from which on it is remarked upon, where it is not as large by chance."""
BINS = 60
NO_ESTIMATE = f"fewer than {LEAST_ROWS} pairs without ties, no clear margins, no near-duplicates"
"""Why nothing is said of flipped labels."""


def facts(found: Diagnosis) -> list[tuple[str, str]]:
    """What was counted or estimated, and its value."""
    repeated = found.duplicates
    rows = [
        ("pairs", f"{found.pairs:,}"),
        ("ties", f"{found.ties:.1%} have the same words on both sides"),
        ("near-duplicates", f"{repeated.rows / found.pairs:.1%} of the rows; {repeated.contradictions} of "
                            f"{repeated.compared} couples have opposite labels"),
        ("length and label",
         f"correlation {found.length_correlation:+.2f}; chosen {found.length_difference:+.1f} words"),
    ]  # fmt: skip
    if found.dropped is not None and found.cut is not None:
        limit = found.request.max_length
        rows.append((f"over {limit} tokens", f"{found.dropped:.1%} dropped (prompt alone), {found.cut:.1%} cut"))
    if found.view is not None:
        sides = found.view.chosen, found.view.rejected
        rows += [
            ("mean token log-prob", f"chosen {sides[0].mean():.3f}, rejected {sides[1].mean():.3f} nats"),
            ("likelier side chosen", f"{found.view.accuracy:.1%} of the pairs"),
            ("heaps of log-probs", _heaps(found)),
        ]
        if found.view.both_own is not None:
            rows.append(("both sides own", f"{found.view.both_own:.1%} of the pairs look like the model's own twice"))
    rows += [(f"flipped labels ({one.by})", str(one)) for one in found.noise]
    return rows if found.noise else [*rows, ("flipped labels", f"not estimated: {NO_ESTIMATE}")]


def remarks(found: Diagnosis) -> list[str]:
    """What a person should do about it, or that there is nothing."""
    said = []
    if found.ties > 0:
        said.append(f"Ties: {found.ties:.1%} of the rows say nothing; leave them out.")
    noisy = [one for one in found.noise if one.found]
    said += [
        f"Labels: about {one.share:.0%} look flipped, judged by {one.by} (assumes: {one.assumes})." for one in noisy
    ]
    said += [
        f"Labels: by {one.by} at most {one.share:.0%} are flipped, which is no evidence that any are."
        for one in found.noise
        if one.bound
    ]
    if abs(found.length_correlation) > max(STRONG, 2 / found.pairs**0.5):  # as much by chance in few pairs
        which = "longer" if found.length_correlation > 0 else "shorter"
        said.append(f"Length: the {which} response is mostly the chosen one; a loss may learn length alone.")
    if found.dropped:
        said.append(f"Length: {found.dropped:.1%} of the rows are dropped at --max-length {found.request.max_length}.")
    view = found.view
    if view is not None and len(view.heaps.means) == 2:
        own, wanted = view.heaps.means
        said.append(
            "Log-probs lie in two heaps, own and other texts: "
            f"mpo reframe OBJECTIVE --own {own:.3f} --wanted {min(wanted, own - LEAST_WIDTH):.3f} --out FOLDER"
        )
    if not found.noise:
        said.append(f"Labels: whether any are flipped was not estimated ({NO_ESTIMATE}).")
    return said or ["Nothing stands out."]


def as_json(found: Diagnosis) -> dict[str, Any]:
    """All numbers."""
    view = found.view
    model = None
    if view is not None:
        model = {
            "chosen": float(view.chosen.mean()), "rejected": float(view.rejected.mean()), "accuracy": view.accuracy,
            "heaps": dataclasses.asdict(view.heaps), "both_own": view.both_own,
            "margin": {"mean": view.margin.mean, "deviation": view.margin.deviation, "told_apart": view.margin.clear},
        }  # fmt: skip
    noise = [dataclasses.asdict(one) | {"found": one.found} for one in found.noise]
    return {
        "request": dataclasses.asdict(found.request), "pairs": found.pairs, "ties": found.ties,
        "near_duplicates": dataclasses.asdict(found.duplicates), "length_difference": found.length_difference,
        "length_correlation": found.length_correlation, "dropped": found.dropped, "cut": found.cut,
        "label_noise": noise, "model": model,
        "suite": {"data": found.nearest.data, "best": found.nearest.best}, "remarks": remarks(found),
    }  # fmt: skip


def write_page(path: Path, found: Diagnosis) -> None:
    """The page, figures embedded."""
    table = found.nearest.table
    with tempfile.TemporaryDirectory() as folder:
        figure = None if found.view is None else Path(folder) / "heaps.png"
        if figure is not None:
            _draw(figure, found)
        model = "" if found.request.model is None else f" under {found.request.model}"
        sections = [
            Section(
                f"Diagnosis of {found.request.dataset}{model}", tuple(remarks(found)),
                table=HtmlTable(("what", "value"), tuple(facts(found))),
            ),
            *([Section("Mean token log-probs of both sides", figure=figure)] if figure is not None else []),
            Section(
                "How label noise was estimated",
                tuple(f"By {one.by}: {one}. Assumes: {one.assumes}." for one in found.noise)
                or (f"Not at all: {NO_ESTIMATE}.",),
            ),
            Section(table.title, table=HtmlTable(table.columns, table.rows, table.caption)),
        ]  # fmt: skip
        content = page(f"Diagnosis of {found.request.dataset}", sections)
    write_whole(path, content.encode())


def _heaps(found: Diagnosis) -> str:
    assert found.view is not None
    heaps = found.view.heaps
    shown = [f"{mean:.3f} ({share:.0%})" for mean, share in zip(heaps.means, heaps.shares, strict=True)]
    return f"two: own at {shown[0]}, other at {shown[1]}" if len(shown) == 2 else f"one, at {heaps.means[0]:.3f}"


def _draw(path: Path, found: Diagnosis) -> None:
    assert found.view is not None
    figure = new_figure(8.5, 3.2)
    both, margin = figure.subplots(1, 2)
    view = found.view
    edges = np.histogram_bin_edges(np.concatenate([view.chosen, view.rejected]), BINS)
    for values, colour, label in ((view.chosen, LEARNED, "chosen"), (view.rejected, MUTED, "rejected")):
        both.hist(values, edges, histtype="step", color=colour, linewidth=1.6, label=label)
    both.set(xlabel="mean token log-prob (nats)", ylabel="pairs", title="both sides")
    both.legend(frameon=False, fontsize=8)
    margin.hist(view.chosen - view.rejected, BINS, color=INK)
    margin.axvline(0, color=MUTED, linewidth=1)
    margin.set(xlabel="chosen less rejected (nats a token)", title="margins")
    save_figure(figure, path)
