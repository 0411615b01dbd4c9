"""What saved objectives gain over hand-written ones in a cell, every comparison of a table counted."""

from typing import Any

import numpy as np

from mpo_core.evaluation.statistics import Interval, iqm_difference
from mpo_experiments.benchmark.cell import BenchmarkCell
from mpo_experiments.benchmark.summary import Difference, best_on_units, best_tuned, differences, entry_of
from mpo_experiments.benchmark.tables import interval_text, short_id
from mpo_experiments.benchmark.verdicts import MARKS, Verdict, summary_of, verdicts
from mpo_experiments.text_table import TextTable

WORDS = (
    "p is of the paired t test, adjusted by Holm's method for the {count} comparisons of the table, sampled and mode "
    "actions apart; 'ahead' and 'behind' are said where it is below 0.05."
)


def differences_table(cell: BenchmarkCell, of: str | None = None) -> TextTable | None:
    """What saved objectives gain over the hand-written ones; None where there are none of either.

    Args:
        of: a hand-written objective, to have what that one gains over the others.
    """
    found = differences(cell, of)
    if not found:
        return None
    sampled, mode = _verdicts(found)
    rows = tuple(
        (
            short_id(one.id), _against(cell, one.against), interval_text(one.sampled.interval), by_sampled.p_text,
            by_sampled.word, f"{one.sampled.detectable:.2f}", _iqm(cell, one), interval_text(one.mode.interval),
            by_mode.p_text, by_mode.word,
        )
        for one, by_sampled, by_mode in zip(found, sampled, mode, strict=True)
    )  # fmt: skip
    return TextTable(
        title=f"{cell.key}: {'saved minus hand-written' if of is None else f'{of} minus the others'}",
        columns=(
            "saved objective" if of is None else "objective", "against", "sampled actions", "p (Holm)", "so it is",
            "detectable", "sampled, IQM", "mode", "p (Holm)", "so it is",
        ),
        rows=rows,
        caption=(
            f"Paired differences over {cell.units} units, mean with 95 % t interval (not adjusted). "
            f"{WORDS.format(count=len(found))} Detectable: what so many units would have shown with power 0.8, had it "
            "been the only look. Sampled, IQM: difference of the inter-quartile means with 95 % bootstrap interval. "
            "'Best when tuned' had the highest score on the tuning units, before the reporting units were looked at; "
            "'best on these units' the highest mean on the very units of the table."
        ),
    )  # fmt: skip


def short_differences_table(cell: BenchmarkCell) -> TextTable | None:
    """`differences_table` within 80 columns: a saved objective named once, the words as marks."""
    best, found = best_tuned(cell), differences(cell)
    if best is None or not found:
        return None
    rows, last = [], ""
    for one, sampled, mode in zip(found, *_verdicts(found), strict=True):
        if one.id != last:
            rows.append((short_id(one.id), "", ""))
        last = one.id
        name = f"  {one.against}{' *' if one.against == best.id else ''}"
        rows.append((name, _marked(one.sampled.interval, sampled), _marked(one.mode.interval, mode)))
    return TextTable(
        f"{cell.key}: saved minus hand-written",
        ("saved objective, against", "sampled actions", "mode"),
        tuple(rows),
        f"Paired differences over {cell.units} units, mean with 95 % t interval. + ahead, - behind: p < 0.05 after "
        f"Holm's correction for {len(found)} comparisons. *: the highest score on the tuning units, before the "
        "reporting units were looked at.",
    )


def differences_summary(cell: BenchmarkCell) -> list[dict[str, Any]]:
    """The same as it is kept in JSON."""
    found = differences(cell)
    return [
        {
            "id": one.id, "against": one.against, "sampled": summary_of(one.sampled, sampled),
            "mode": summary_of(one.mode, mode),
        }
        for one, sampled, mode in zip(found, *_verdicts(found), strict=True)
    ]  # fmt: skip


def _verdicts(found: list[Difference]) -> tuple[list[Verdict], list[Verdict]]:
    return verdicts([one.sampled for one in found]), verdicts([one.mode for one in found])


def _marked(interval: Interval, verdict: Verdict) -> str:
    return f"{interval_text(interval)} {MARKS[verdict.word] or ' '}"


def _against(cell: BenchmarkCell, id: str) -> str:
    tuned, on_units = best_tuned(cell), best_on_units(cell, "sampled")
    notes = ["best when tuned"] if tuned is not None and tuned.id == id else []
    notes += ["best on these units"] if on_units is not None and on_units.id == id else []
    return f"{id} ({', '.join(notes)})" if notes else id


def _iqm(cell: BenchmarkCell, one: Difference) -> str:
    ours, theirs = (np.array(entry_of(cell, id).sampled, float) for id in (one.id, one.against))
    return interval_text(iqm_difference(ours, theirs))
