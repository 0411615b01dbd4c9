"""The tables of a benchmark."""

from collections.abc import Mapping
from pathlib import Path

from adapters.storage.objective_paths import PREFIX
from mpo_core.data.fault import NumberFault
from mpo_core.data.faults.judge import Judge
from mpo_core.data.faults.noisy import Noisy
from mpo_core.data.specification import DataSpec, parse_data_spec
from mpo_core.evaluation.statistics import Interval
from mpo_experiments.benchmark.cell import BenchmarkCell, CellKey
from mpo_experiments.benchmark.summary import BASELINE, Standing, best_tuned, differences, entry_of, standings
from mpo_experiments.text_table import TextTable

NOT_RUN = "not run"
BOOTSTRAP = "inter-quartile mean of the normalised score (original 0, target 1) with 95 % stratified bootstrap interval"

Ranked = Mapping[CellKey, list[Standing]]
"""The standings of each cell."""


def cell_table(cell: BenchmarkCell, ranked: list[Standing]) -> TextTable:
    """One cell in full: every objective with its settings, best first."""
    rows = []
    for one in ranked:
        entry = entry_of(cell, one.id)
        settings = ", ".join(f"{name}={value:g}" for name, value in entry.settings.items()) or "default"
        schedule = f"{entry.sft_epochs} SFT epochs first" if entry.sft_epochs else ""
        rows.append(
            (
                _name(one), interval_text(one.sampled), f"{one.mode.estimate:.3f}", _improvement(one),
                f"{entry.clamped:.2%}", str(one.failed), "; ".join(filter(None, (settings, schedule))),
            )
        )  # fmt: skip
    return TextTable(
        title=f"{cell.key}: {cell.units} units",
        columns=("objective", "sampled actions", "mode", f"P(> {BASELINE})", "clamped", "failed", "settings"),
        rows=tuple(rows),
        caption=(
            f"Original {cell.original:.0f}, target {cell.target:.0f} (return, sampled actions, horizon "
            f"{cell.config['evaluation']['horizon']}). {_minutes(cell)}Again: `{cell.command}`"
        ),
    )


def differences_table(cell: BenchmarkCell) -> TextTable | None:
    """What saved objectives gain over the hand-written ones; None where there are none of either."""
    best, found = best_tuned(cell), differences(cell)
    if best is None or not found:
        return None
    rows = tuple(
        (
            short_id(one.id), f"{one.against} (best when tuned)" if one.against == best.id else one.against,
            interval_text(one.sampled), interval_text(one.mode),
        )
        for one in found
    )  # fmt: skip
    return TextTable(
        title=f"{cell.key}: saved minus hand-written",
        columns=("saved objective", "against", "sampled actions", "mode"),
        rows=rows,
        caption=(
            f"Paired differences over {cell.units} units, mean with 95 % t interval. 'Best when tuned' had the highest "
            "score on the tuning units, before the reporting units were looked at."
        ),
    )


def short_differences_table(cell: BenchmarkCell) -> TextTable | None:
    """`differences_table` within 80 columns: sampled actions alone, a saved objective named once."""
    best, found = best_tuned(cell), differences(cell)
    if best is None or not found:
        return None
    rows, last = [], ""
    for one in found:
        name, last = "" if one.id == last else short_id(one.id), one.id
        rows.append((name, f"{one.against} *" if one.against == best.id else one.against, interval_text(one.sampled)))
    return TextTable(
        f"{cell.key}: saved minus hand-written",
        ("saved objective", "against", "sampled actions"),
        tuple(rows),
        f"Paired differences over {cell.units} units, mean with 95 % t interval. *: the highest score on the tuning "
        "units, before the reporting units were looked at.",
    )


def short_table(cell: BenchmarkCell, ranked: list[Standing]) -> TextTable:
    """One cell within 80 columns."""
    return _short(f"{cell.key}: {cell.units} units", ranked, BOOTSTRAP)


def overall_table(cells: list[BenchmarkCell]) -> TextTable:
    """All cells together, within 80 columns."""
    return _short(f"{len(cells)} cells together", standings(cells), f"{BOOTSTRAP}; cells are strata")


def overview_table(keys: list[CellKey], cells: list[BenchmarkCell], ranked: Ranked) -> TextTable:
    """Every objective in every cell, ordered by all cells that were run together."""
    rows = []
    for one in standings(cells):
        places = [f"{_find(ranked[key], one.id).sampled.estimate:.2f}" if key in ranked else NOT_RUN for key in keys]
        rows.append((_name(one), interval_text(one.sampled), _improvement(one), *places))
    return TextTable(
        title="All cells",
        columns=("objective", f"{len(cells)} cells", f"P(> {BASELINE})", *(str(key) for key in keys)),
        rows=tuple(rows),
        caption=f"{BOOTSTRAP[0].upper()}{BOOTSTRAP[1:]}; cells are strata.",
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
            found = [
                interval_text(_find(ranked[by_data[data].key], one.id).sampled) if data in by_data else NOT_RUN
                for data in specs
            ]
            rows.append((_name(one), f"{temperature:g}", *found))
    return TextTable(
        title=f"{task}: temperature of the judge against label noise",
        columns=("objective", "temperature", *(f"noise {noise:g}" for noise in noises)),
        rows=tuple(rows),
        caption=f"{BOOTSTRAP[0].upper()}{BOOTSTRAP[1:]}. Temperature in units of return.",
    )


def _value(spec: DataSpec, kind: type[NumberFault]) -> float:
    """The number of a fault; 0 where the data are without it."""
    found = spec.find(kind)
    return found.value if found else 0.0


def ranges_table(cell: BenchmarkCell) -> TextTable:
    """The ranges that settings were searched in, after scaling to the task's tokens."""
    rows = tuple(
        (id, name, f"{low:.4g}", f"{high:.4g}")
        for id, ranges in cell.ranges.items()
        for name, (low, high) in ranges.items()
    )
    return TextTable(f"{cell.key}: ranges searched", ("objective", "setting", "low", "high"), rows)


def scores_table(cells: list[BenchmarkCell]) -> TextTable:
    """Every score: a line a cell, objective and unit."""
    rows = tuple(
        (cell.task, cell.data, f"{cell.bin_width:g}", entry.id, str(unit), repr(sampled), repr(mode))
        for cell in cells
        for entry in cell.objectives
        for unit, (sampled, mode) in enumerate(zip(entry.sampled, entry.mode, strict=True))
    )
    return TextTable("scores", ("task", "data", "bin_width", "objective", "unit", "sampled", "mode"), rows)


def _short(title: str, ranked: list[Standing], caption: str) -> TextTable:
    rows = tuple(
        (_name(one), interval_text(one.sampled), f"{one.mode.estimate:.3f}", _improvement(one)) for one in ranked
    )
    return TextTable(title, ("objective", "sampled actions", "mode", f"P(> {BASELINE})"), rows, caption)


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
