"""What a report says of a run: its search, its final table and where it comes from."""

import dataclasses
from pathlib import Path
from typing import Any

from adapters.storage.files import write_whole
from adapters.storage.objective_files import read_objective, told_of
from adapters.storage.run_folder import RunFolder
from mpo_experiments.figures.fitness import draw_fitness
from mpo_experiments.runs.marks import horizons, mean_marks
from mpo_experiments.runs.report import CellReport, RunReport
from mpo_experiments.scale import NO_NOISE
from mpo_experiments.settings.run_config import RunConfig
from mpo_experiments.show.html import HtmlTable, Section, page
from mpo_experiments.text_table import p_text, return_text

CLASS_FORMULA = "L = -E[ ψ( φ⁻¹(p_w) - φ⁻¹(q_w) - φ⁻¹(p_l) + φ⁻¹(q_l) ) + g(p_w) ]"
CLASS_TEXT = (
    "Mirror Preference Optimization (Alfano et al. 2025, arXiv 2411.06568; our reconstruction): p is the policy, q the "
    "reference, w the chosen and l the rejected trajectory; φ⁻¹, ψ and g increase. Without reference the q terms drop."
)
REPORT_NAME, FIGURES = "report.html", "figures"


def write_run_report(folder: RunFolder, config: RunConfig, report: RunReport | None) -> Path:
    """report.html of a run that is about to end, from what lies in its folder: takes no time.

    `mpo show` replaces it by one with every figure.

    Args:
        report: the final tables, which need not be in the folder yet.

    Raises:
        ValueError: the objective in the folder cannot be read.
        OSError: it cannot be written.
    """
    card = read_objective(folder.path)[0]
    where = config.title
    more = f"`mpo show {folder}` adds the gradient field and the weight of chosen and rejected over training."
    sections = [
        Section(f"Discovered on {where}", (CLASS_TEXT, more), CLASS_FORMULA),
        *run_sections(folder, config, report),
    ]
    maps = folder.path / FIGURES / "maps.png"
    if maps.exists():
        sections.append(Section("What was learned", figure=maps))
    sections.append(provenance_section(told_of(card)))
    path = folder.path / REPORT_NAME
    write_whole(path, page(f"Discovered on {where}", sections).encode())
    return path


def run_sections(
    folder: RunFolder, config: RunConfig, report: RunReport | None, figures: Path | None = None
) -> list[Section]:
    """The final table and the search of a run.

    Args:
        figures: where to draw the search; without it the run's own figure is taken, if there is one.
    """
    sections = [
        Section(f"Final table: {one.title}", (_result(one),), table=_final_table(one))
        for one in (report.cells if report is not None else ())
    ]
    records = folder.metrics()
    drawn = (figures or folder.path / FIGURES) / "fitness.png"
    if figures is not None and records:
        draw_fitness(drawn, records, mean_marks(config.cells()), config.title, horizons(config.cells()))
    if records and drawn.exists():
        sections.append(Section("The search", (_search(records),), figure=drawn))
    return sections


def provenance_section(known: dict[str, Any]) -> Section:
    """Everything that is known of where an objective comes from; groups of the provenance have lines of their own."""
    groups = known.get("provenance", {})
    lines = {name: value for name, value in known.items() if name != "provenance"} | {
        f"search: {name}": value for name, value in groups.items()
    }
    rows = tuple((name, _plain(value)) for name, value in lines.items() if value not in (None, {}, ""))
    return Section("Provenance", table=HtmlTable(("what", "value"), rows))


def _result(report: CellReport) -> str:
    best = report.best_hand_written().name
    told = [
        f"minus {name} {difference} (p {p_text(p)}) with {actions} actions"
        for mode, actions in ((False, "sampled"), (True, "mode"))
        for name, difference, p in report.gains(mode=mode)
    ]
    return (
        f"Discovered, on {report.units} fresh units: {'; '.join(told)}. {best} is the best hand-written row; "
        "paired by unit, 95 % t intervals, p of the paired t test after Holm's correction for the two comparisons of "
        "each kind of actions."
    )


def _final_table(report: CellReport) -> HtmlTable:
    rows = [(row.name, str(row.interval()), f"{row.interval(mode=True).estimate:.3f}", row.note) for row in report.rows]
    if report.no_noise is not None and report.original_mode is not None:
        rows.append((NO_NOISE, f"{report.no_noise:.3f}", "0", f"return {return_text(report.original_mode)}"))
    caption = (
        f"Normalised score on {report.task}, {report.data}: original 0 (return {return_text(report.original)}), "
        f"target 1 (return {return_text(report.target)}); mean over {report.units} units with 95 % t interval, "
        f"seed {report.seed}."
    )
    return HtmlTable(("objective", "sampled actions", "mode actions", "settings"), tuple(rows), caption)


def _search(records: list[dict[str, Any]]) -> str:
    means = [record["mean"] for record in records if record.get("mean") is not None]
    if not means:
        return f"{len(records)} generations, none with a finite score of the search mean."
    last = means[-max(1, len(means) // 4) :]
    return (
        f"{len(records)} generations: the search mean scored {means[0]:.3f} in the first and, on average, "
        f"{sum(last) / len(last):.3f} over the last quarter, on the short horizon and few episodes of the search."
    )


def _plain(value: Any) -> str:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = dataclasses.asdict(value)
    if isinstance(value, dict):
        return ", ".join(f"{name} {_plain(inner)}" for name, inner in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(_plain, value))
    return f"{value:g}" if isinstance(value, float) else str(value)
