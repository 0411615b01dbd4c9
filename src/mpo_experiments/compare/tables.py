"""The tables of kinds of search: every variant over its searches, against the first, with the looks counted."""

import dataclasses
from pathlib import Path

import numpy as np

from adapters.storage.files import write_json, write_whole
from mpo_core.evaluation.statistics import holm, mean_interval, paired_difference, paired_p_value, stratified_bootstrap
from mpo_experiments.benchmark.cell import BenchmarkCell, Entry
from mpo_experiments.benchmark.tables import interval_text, scores_table
from mpo_experiments.compare.variants import VariantScores
from mpo_experiments.scale import SCALE, UNIT
from mpo_experiments.text_table import TextTable, p_text

INTRODUCTION = (
    "Every search started from the same objective and was repeated with the same search seeds. What it found (its "
    "mean, never its best member) was run on units of the reporting stream, which all of them share and nothing had "
    "seen before."
)


def variants_table(found: list[VariantScores], others: list[Entry]) -> TextTable:
    """A line a variant, then one a hand-written objective."""
    adjusted = _adjusted(found)
    rows = [
        (
            one.variant.name, interval_text(one.by_search), " ".join(f"{score:.2f}" for score in one.scores.mean(1)),
            interval_text(mean_interval(one.mode.mean(1))), interval_text(one.by_unit), _minus(one, found[0]),
            adjusted.get(one.variant.name, "-"), str(one.jobs), f"{one.updates:,}",
        )
        for one in found
    ]  # fmt: skip
    for entry in others:
        by_unit = stratified_bootstrap(np.asarray(entry.sampled, float)[None])
        scores = f"{np.mean(entry.sampled):.2f}", "-", f"{np.mean(entry.mode):.2f}", interval_text(by_unit)
        rows.append((entry.id, *scores, "-", "-", "-", "-"))
    columns = ("variant", "mean of searches", "each search", "mode", "IQM of units", _against(found), "p (Holm)")
    caption = (
        f"{_caption(found)}. Mean of searches, sampled and mode actions: 95 % t interval over {len(found[0].scores)} "
        "searches; IQM of units: these searches as strata, 95 % bootstrap over units; differences of sampled means "
        "paired by search seed, p of the paired t test adjusted by Holm's method for "
        f"{len(found) - 1} comparisons."
    )
    return TextTable("Searches compared", (*columns, "inner loops", "updates"), tuple(rows), caption)


def short_variants_table(found: list[VariantScores], others: list[Entry]) -> TextTable:
    """`variants_table` within 80 columns: the mean over searches, the difference and the cost."""
    rows = [
        (
            one.variant.name, interval_text(one.by_search), f"{one.mode.mean():.2f}", _minus(one, found[0]),
            str(one.jobs),
        )
        for one in found
    ]  # fmt: skip
    rows += [(entry.id, f"{np.mean(entry.sampled):.2f}", f"{np.mean(entry.mode):.2f}", "-", "-") for entry in others]
    caption = (
        f"{_caption(found)}. Mean and 95 % t interval over {len(found[0].scores)} searches; loops: those of a search."
    )
    return TextTable("Searches compared", ("variant", "score", "mode", _against(found), "loops"), tuple(rows), caption)


def write_variants(
    folder: Path, cell: BenchmarkCell, found: list[VariantScores], table: TextTable, command: str
) -> list[Path]:
    """results.md, scores.csv and summary.json; returns the files, that for people first."""
    paths = [folder / name for name in ("results.md", "scores.csv", "summary.json")]
    settings = "\n".join(f"- {one.variant.name}: `{' '.join(one.variant.overrides) or '-'}`" for one in found)
    parts = [f"# Searches on {cell.key}", INTRODUCTION, f"    {command}", settings, table.markdown().rstrip()]
    write_whole(paths[0], ("\n\n".join(parts) + "\n").encode())
    write_whole(paths[1], scores_table([cell]).csv().encode())
    write_json(paths[2], {"command": command, "variants": [_summary(one) for one in found]})
    return paths


def _against(found: list[VariantScores]) -> str:
    return f"minus {found[0].variant.name}"


def _caption(found: list[VariantScores]) -> str:
    units = found[0].scores.shape[1]
    return f"Normalised score, sampled and mode actions: {SCALE}; {units} units; {UNIT}"


def _gained(one: VariantScores, first: VariantScores) -> np.ndarray:
    return one.scores.mean(1) - first.scores.mean(1)


def _adjusted(found: list[VariantScores]) -> dict[str, str]:
    """The adjusted p of every variant but the first."""
    p_values = holm(np.array([paired_p_value(_gained(one, found[0])) for one in found[1:]]))
    return {one.variant.name: p_text(float(p)) for one, p in zip(found[1:], p_values, strict=True)}


def _minus(one: VariantScores, first: VariantScores) -> str:
    if one is first:
        return "-"
    return interval_text(paired_difference(one.scores.mean(1), first.scores.mean(1)))


def _summary(one: VariantScores) -> dict[str, object]:
    return {
        "variant": one.variant.name, "overrides": list(one.variant.overrides), "inner_loops": one.jobs,
        "updates": one.updates, "searches": one.scores.mean(1).tolist(), "mode": one.mode.mean(1).tolist(),
        "by_search": dataclasses.asdict(one.by_search), "by_unit": dataclasses.asdict(one.by_unit),
    }  # fmt: skip
