"""The scores behind the differences of a queue: means beside means, inter-quartile means beside such."""

import numpy as np

from mpo_core.evaluation.statistics import iqm_difference, mean_interval, stratified_bootstrap
from mpo_experiments.benchmark.cell import BenchmarkCell, Entry
from mpo_experiments.benchmark.summary import required_best
from mpo_experiments.benchmark.tables import BOOTSTRAP, interval_text
from mpo_experiments.text_table import TextTable


def found_scores_table(cells: list[BenchmarkCell], forms: tuple[str, ...]) -> TextTable:
    """A line for the best tuned loss of every cell, and one for what each search found."""
    rows = []
    for cell in cells:
        best = required_best(cell)
        found = [entry for entry in cell.objectives if entry.sha256 is not None and _form(entry) in forms]
        rows.append((str(cell.key), f"{best.id} (best tuned)", *_scores(best), "-", "-"))
        rows += [(str(cell.key), _name(entry), *_scores(entry), *_differences(entry, best)) for entry in found]
    columns = ("cell", "objective", "sampled (mean)", "mode (mean)", "sampled (IQM)", "mode (IQM)")
    return TextTable(
        title="Scores",
        columns=(*columns, "sampled, IQM - IQM of best tuned", "mode, IQM - IQM of best tuned"),
        rows=tuple(rows),
        caption=f"Means with 95 % t interval over units; {BOOTSTRAP}; differences of inter-quartile means with 95 % "
        "bootstrap interval, one draw of units for both.",
    )


def _form(entry: Entry) -> str:
    return next((part for part in reversed(entry.id.split("-")) if part.isalpha()), "")


def _name(entry: Entry) -> str:
    """Form and, of further searches, seed."""
    return entry.id[entry.id.rindex(f"-{_form(entry)}") + 1 :].replace("-s", ", seed ")


def _scores(entry: Entry) -> list[str]:
    kinds = [np.array(scores, float) for scores in (entry.sampled, entry.mode)]
    means = [interval_text(mean_interval(scores)) for scores in kinds]
    return means + [interval_text(stratified_bootstrap(scores[None])) for scores in kinds]


def _differences(entry: Entry, best: Entry) -> list[str]:
    kinds = (("sampled", best.sampled), ("mode", best.mode))
    return [interval_text(iqm_difference(np.array(getattr(entry, kind)), np.array(other))) for kind, other in kinds]
