"""The tables of a benchmark."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from adapters.storage.objective_paths import PREFIX
from mpo_core.data.fault import NumberFault
from mpo_core.data.faults.judge import Judge
from mpo_core.data.faults.noisy import Noisy
from mpo_core.data.specification import DataSpec, parse_data_spec
from mpo_core.evaluation.statistics import Interval
from mpo_core.settings import InnerLoopSettings, RowSettings, updates_of
from mpo_experiments.benchmark.cell import BenchmarkCell, CellKey, Entry
from mpo_experiments.benchmark.summary import BASELINE, Standing, entry_of, no_noise_score, standings
from mpo_experiments.scale import NO_NOISE
from mpo_experiments.text_table import TextTable, return_text

NOT_RUN = "not run"
BOOTSTRAP = "inter-quartile mean of the normalised score (original 0, target 1) with 95 % stratified bootstrap interval"

Ranked = Mapping[CellKey, list[Standing]]
"""The standings of each cell."""


def cell_table(cell: BenchmarkCell, ranked: list[Standing]) -> TextTable:
    """One cell in full: every objective with its settings, best first, and what less action noise alone is worth."""
    rows = []
    for one in ranked:
        entry = entry_of(cell, one.id)
        rows.append(
            (
                _name(one), interval_text(one.sampled), interval_text(one.mode), _mean(entry.sampled),
                _mean(entry.mode), _improvement(one), f"{entry.clamped:.2%}", str(one.failed), settings_text(entry),
            )
        )  # fmt: skip
    alone = no_noise_score(cell)
    if alone is not None:
        rows.append((NO_NOISE, f"{alone:.2f}", "0.00", f"{alone:.2f}", "0.00", "-", "-", "-", ""))
    columns = ("objective", "sampled (IQM)", "mode (IQM)", "sampled (mean)", "mode (mean)", f"P(> {BASELINE})")
    return TextTable(
        title=f"{cell.key}: {cell.units} units",
        columns=(*columns, "clamped", "failed", "settings"),
        rows=tuple(rows),
        caption=(
            f"Original {return_text(cell.original)}, target {return_text(cell.target)} (return, sampled actions, "
            f"horizon {cell.config['evaluation']['horizon']}). "
            f"{_minutes(cell)}{tuning_text(cell)}Again: `{cell.command}`"
        ),
    )


def settings_text(entry: Entry) -> str:
    """How an objective was run."""
    settings = ", ".join(f"{name}={value:g}" for name, value in entry.settings.items()) or "default"
    rate = "" if entry.learning_rate is None else f"learning rate {entry.learning_rate:g}"
    schedule = f"{entry.sft_epochs} SFT epochs first" if entry.sft_epochs else ""
    return "; ".join(filter(None, (settings, rate, schedule)))


def tuning_text(cell: BenchmarkCell) -> str:
    """What tuning an objective took at most, in inner loops and in updates; nothing where it was not counted."""
    tuned = [entry.loops for entry in cell.objectives if entry.sha256 is None and entry.loops and entry.tried > 1]
    if not tuned:
        return ""
    loops = max(tuned)
    most = "at most " if min(tuned) < loops else ""
    updates = updates_of(loops, RowSettings(**cell.config["rows"]), InnerLoopSettings(**cell.config["inner"]))
    return f"Tuning ({cell.method}) took {most}{loops} inner loops, {updates:,} updates, an objective. "


def short_table(cell: BenchmarkCell, ranked: list[Standing]) -> TextTable:
    """One cell within 80 columns."""
    table = _short(f"{cell.key}: {cell.units} units", ranked, BOOTSTRAP)
    alone = no_noise_score(cell)
    if alone is None:
        return table
    return dataclasses.replace(table, rows=(*table.rows, (NO_NOISE, f"{alone:.2f}", "0.000", "-")))


def overall_table(cells: list[BenchmarkCell]) -> TextTable:
    """All cells together, within 80 columns."""
    return _short(f"{len(cells)} cells together", standings(cells), f"{BOOTSTRAP}; cells are strata")


def overview_table(keys: list[CellKey], cells: list[BenchmarkCell], ranked: Ranked) -> TextTable:
    """Every objective in every cell, ordered by all cells that were run together."""
    rows = []
    for one in standings(cells):
        found = [_find(ranked[key], one.id) if key in ranked else None for key in keys]
        places = [NOT_RUN if at is None else f"{at.sampled.estimate:.2f} / {at.mode.estimate:.2f}" for at in found]
        rows.append((_name(one), interval_text(one.sampled), interval_text(one.mode), _improvement(one), *places))
    alone = {cell.key: no_noise_score(cell) for cell in cells}
    if any(value is not None for value in alone.values()):
        places = ["-" if alone.get(key) is None else f"{alone[key]:.2f} / 0.00" for key in keys]
        rows.append((NO_NOISE, "-", "-", "-", *places))
    return TextTable(
        title="All cells",
        columns=("objective", f"{len(cells)} cells", "mode", f"P(> {BASELINE})", *(str(key) for key in keys)),
        rows=tuple(rows),
        caption=f"{BOOTSTRAP[0].upper()}{BOOTSTRAP[1:]}; cells are strata. Of each cell: sampled / mode actions.",
    )


def judge_table(cells: list[BenchmarkCell], task: str, ranked: Ranked) -> TextTable | None:
    """Judge temperature against label noise: the objectives' inter-quartile means; None unless both were varied."""
    spec_of = {cell.key: parse_data_spec(cell.data) for cell in cells if cell.task == task}
    temperatures = sorted({_value(spec, Judge) for spec in spec_of.values()})
    noises = sorted({_value(spec, Noisy) for spec in spec_of.values()})
    rest = {spec.without(Judge, Noisy) for spec in spec_of.values()}
    if len(temperatures) < 2 or len(noises) < 2 or len(rest) > 1:
        return None
    faults = rest.pop().faults
    by_data = {cell.data: cell for cell in cells if cell.task == task}
    rows = []
    for one in standings(list(by_data.values())):
        for temperature in temperatures:
            specs = [str(DataSpec((*faults, Noisy(noise), Judge(temperature)))) for noise in noises]
            found = [_both(_find(ranked[by_data[data].key], one.id)) if data in by_data else NOT_RUN for data in specs]
            rows.append((_name(one), f"{temperature:g}", *found))
    return TextTable(
        title=f"{task}: temperature of the judge against label noise",
        columns=("objective", "temperature", *(f"noise {noise:g}" for noise in noises)),
        rows=tuple(rows),
        caption=f"{BOOTSTRAP[0].upper()}{BOOTSTRAP[1:]}, sampled / mode actions. Temperature in units of return.",
    )


def _value(spec: DataSpec, kind: type[NumberFault]) -> float:
    """The number of a fault; 0 where the data are without it."""
    found = spec.find(kind)
    return found.value if found else 0.0


def ranges_table(cell: BenchmarkCell) -> TextTable:
    """The ranges that settings were searched in, after scaling to the task's tokens and after they were extended."""
    searched = [(entry.id, name, one) for entry in cell.objectives for name, one in entry.searched.items()]
    rows = [
        (
            id, name, f"{one.low:.4g}", f"{one.high:.4g}", "log" if one.log else "linear", str(one.extended),
            "yes" if one.at_edge else "no",
        )
        for id, name, one in searched
    ]  # fmt: skip
    known = {id for id, _, _ in searched}
    rows += [
        (id, name, f"{low:.4g}", f"{high:.4g}", "-", "0", "-")
        for id, ranges in cell.ranges.items()
        if id not in known
        for name, (low, high) in ranges.items()
    ]
    columns = ("objective", "setting", "low", "high", "scale", "extended", "winner at its edge")
    return TextTable(f"{cell.key}: ranges searched ({cell.method})", columns, tuple(rows))


def scores_table(cells: list[BenchmarkCell]) -> TextTable:
    """Every score: a line a cell, objective and unit; the number of pairs where one was asked for."""
    sized = any(cell.rows is not None for cell in cells)
    rows = tuple(
        (
            cell.task,
            cell.data,
            f"{cell.bin_width:g}",
            *_pairs(cell, sized),
            entry.id,
            str(unit),
            repr(sampled),
            repr(mode),
        )
        for cell in cells
        for entry in cell.objectives
        for unit, (sampled, mode) in enumerate(zip(entry.sampled, entry.mode, strict=True))
    )
    columns = ("task", "data", "bin_width", *(("pairs",) if sized else ()), "objective", "unit", "sampled", "mode")
    return TextTable("scores", columns, rows)


def _pairs(cell: BenchmarkCell, told: bool) -> tuple[str, ...]:
    return (str(cell.rows or cell.config["rows"]["count"]),) if told else ()


def _short(title: str, ranked: list[Standing], caption: str) -> TextTable:
    rows = tuple(
        (_name(one), interval_text(one.sampled), f"{one.mode.estimate:.3f}", _improvement(one)) for one in ranked
    )
    return TextTable(title, ("objective", "sampled actions", "mode", f"P(> {BASELINE})"), rows, caption)


def _both(one: Standing) -> str:
    return f"{interval_text(one.sampled)} / {one.mode.estimate:.2f}"


def _mean(scores: list[float]) -> str:
    return f"{np.mean(scores):.2f}"


def _find(ranked: list[Standing], id: str) -> Standing:
    return next(one for one in ranked if one.id == id)


def _name(one: Standing) -> str:
    return f"{short_id(one.id)} (sees {', '.join(one.sees)})" if one.sees else short_id(one.id)


def short_id(id: str) -> str:
    """An objective's id; of a file, its last part, except where it is a bundled one."""
    return id if id.startswith(PREFIX) else Path(id).name


def interval_text(interval: Interval) -> str:
    """To two digits, as tables have it."""
    return f"{interval.estimate:.2f} [{interval.low:.2f}, {interval.high:.2f}]"


def _improvement(one: Standing) -> str:
    return "-" if one.improvement is None else interval_text(one.improvement)


def _minutes(cell: BenchmarkCell) -> str:
    parts = [f"{what} {seconds / 60:.1f} min" for what, seconds in cell.seconds.items()]
    return f"Took: {', '.join(parts)}. "
