"""What a person sees of long work: a bar with an ETA on a terminal, plain lines elsewhere; and the final tables."""

import time
from collections.abc import Iterator
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from mpo_experiments.runs.report import CellReport, RunReport
from mpo_experiments.scale import NO_NOISE, SCALE, UNIT
from mpo_experiments.text_table import TextTable, p_text, return_text

BLOCKS = "▁▂▃▄▅▆▇█"
SECONDS_BETWEEN_LINES = 15.0
LONG_COMPILATION = 5.0
"""Seconds of a stage spent on compiling, from which on a person is told."""


def console() -> Console:
    """Standard output; without a terminal, 80 columns."""
    out = Console(highlight=False)
    return out if out.is_terminal else Console(highlight=False, width=80)


class Display:
    """A `Reporter` for people. Use as a context manager."""

    def __init__(self, out: Console, marks: dict[str, float] | None = None):
        from mpo_core.compile_clock import compile_seconds  # imports JAX

        self._compile_seconds, self._compiled_before = compile_seconds, 0.0
        self._out, self._marks = out, marks or {}
        self._means: list[float | None] = []
        self._last: dict[str, Any] | None = None
        self._stage = ("", 0, "")
        self._done, self._first, self._began, self._said = 0, 0, 0.0, 0.0
        self._started: float | None = None
        """When the first work of the stage was done: before that its programs may have been compiled."""
        self._progress = Progress(
            TextColumn("{task.description:<21}"), BarColumn(bar_width=16), TextColumn("{task.percentage:>3.0f}%"),
            TextColumn("{task.fields[amount]}"), TimeElapsedColumn(), TextColumn("{task.fields[ahead]}"),
            console=out,
        )  # fmt: skip
        self._task = None
        self._live = (
            Live(self._picture(), console=out, refresh_per_second=4, transient=True) if out.is_terminal else None
        )

    def __enter__(self) -> "Display":
        if self._live:
            self._live.start()
        return self

    def __exit__(self, failure: object, *_: object) -> None:
        if failure is None:
            self._finish_stage()
        if self._live:
            self._live.stop()

    def stage(self, title: str, total: int, unit: str, done: int = 0) -> None:
        """A stage begins, or goes on where it was left."""
        self._finish_stage()
        self._stage, self._done, self._first, self._before = (title, total, unit), done, done, done
        self._began = self._said = time.monotonic()
        self._compiled_before = self._compile_seconds()
        self._started = self._began if unit == "generation" else None  # compiled in a stage of its own
        if self._live:
            self._task = self._progress.add_task(
                title, total=total, completed=done, amount=self._amount(), ahead=self._ahead()
            )

    def advance(self, amount: int) -> None:
        """So much more is done."""
        self._done = min(self._done + amount, self._stage[1])
        if amount and self._started is None:
            self._first, self._started = self._done, time.monotonic()
        if self._live and self._task is not None:
            self._progress.update(self._task, completed=self._done, amount=self._amount(), ahead=self._ahead())
            self._live.update(self._picture())
        elif time.monotonic() - self._said > SECONDS_BETWEEN_LINES and self._stage[2] != "generation":
            self._said = time.monotonic()
            self._out.print(f"  {self._stage[0]}: {self._amount()}, {self._eta()} to go")

    def generation(self, record: dict[str, Any]) -> None:
        """A generation is done."""
        self._means.append(record["mean"])
        self._last = record
        if self._live:
            self._live.update(self._picture())
        else:
            self._out.print(f"{_generation_line(record)}  ({_seconds(record['seconds'])}, eta {self._eta(1)})")
            if "cells" in record:
                self._out.print(_cells_line(record["cells"]))

    def note(self, text: str) -> None:
        """A line of its own."""
        self._out.print(Text(text))

    def _finish_stage(self) -> None:
        title, _, unit = self._stage
        if not title:
            return
        took = time.monotonic() - self._began
        compiling = min(self._compile_seconds() - self._compiled_before, took)  # another thread may compile meanwhile
        compiled = f", compiling for {_duration(compiling)} of it" if compiling > LONG_COMPILATION else ""
        if self._live and self._task is not None:
            self._progress.remove_task(self._task)
            self._task = None
        here = self._done - self._before
        if here:  # else it was there already
            self._out.print(f"{title}: {_count(here)} {_plural(unit, here)} in {_duration(took)}{compiled}")
        self._stage = ("", 0, "")

    def _amount(self) -> str:
        _, total, unit = self._stage
        return f"{_count(self._done)}/{_count(total)} {_plural(unit, total)}"

    def _ahead(self) -> str:
        """What a bar says of the time to come."""
        return "starting" if self._started is None else f"eta {self._eta()}"

    def _eta(self, ahead: int = 0) -> str:
        here, left = self._done + ahead - self._first, self._stage[1] - self._done - ahead
        if not left:
            return "0 s"
        return _duration((time.monotonic() - (self._started or self._began)) / here * left) if here else "?"

    def _picture(self) -> Group:
        if self._last is None or self._stage[2] != "generation":
            return Group(self._progress)
        lines = [Text(_generation_line(self._last), no_wrap=True)]
        lines += [Text(line, no_wrap=True) for line in _cell_lines(self._last.get("cells", {}))]
        lines.append(Text(f"search mean  {_sparkline(self._means)}"))
        if self._marks:
            marks = "  ".join(f"{name} {score:.2f}" for name, score in self._marks.items())
            lines.append(Text(f"tuned marks  {marks}", style="dim"))
        return Group(self._progress, *lines)


def report_lines(report: RunReport) -> Iterator[Table | str]:
    """All that a run's report says: a table and paired differences of each cell and, beyond one, over all of them."""
    for place, cell in enumerate(report.cells):
        if place:
            yield ""
        yield report_table(cell)
        yield ""
        yield from difference_lines(cell)
    if len(report.cells) > 1:
        over = report.overall()
        yield ""
        yield _overall_table(over, len(report.cells))
        yield ""
        yield from difference_lines(over)


def _overall_table(report: CellReport, combinations: int) -> Table:
    """The mean over combinations of task and data."""
    table = _empty_table(
        f"Mean of the {combinations} combinations: normalised score on {report.units} fresh units each"
    )
    for column in ("objective", "sampled actions", "mode"):
        table.add_column(column, justify="left" if column == "objective" else "right")
    best = report.best_hand_written().name
    for row in report.rows:
        style = "bold" if row.name in ("discovered", best) else ""
        mode = row.interval(mode=True)
        table.add_row(
            Text(row.name), Text(str(row.interval())), f"{mode.estimate:.3f}",
            style=style, end_section=row is report.rows[-3],
        )  # fmt: skip
    return table


def _empty_table(title: str) -> Table:
    return Table(
        title=title, caption=f"{SCALE}; mean over units with 95 % t interval; {UNIT}",
        title_justify="left", caption_justify="left", show_edge=False, pad_edge=False,
    )  # fmt: skip


def report_table(report: CellReport) -> Table:
    """The final table: normalised score with 95 % interval, sampled and mode actions, fits 80 columns."""
    table = _empty_table(f"{report.title}: normalised score on {report.units} fresh units")
    table.add_column("objective", no_wrap=True)
    table.add_column("sampled actions", justify="right", no_wrap=True)
    table.add_column("mode", justify="right", no_wrap=True)
    table.add_column("settings", overflow="fold", style="dim")
    table.add_row("original", "0", "0", f"return {return_text(report.original)}")
    if report.no_noise is not None and report.original_mode is not None:
        shown = f"return {return_text(report.original_mode)}"
        table.add_row(NO_NOISE, f"{report.no_noise:.3f}", "0", shown)
    table.add_row("target", "1", "1", f"return {return_text(report.target)}", end_section=True)
    best = report.best_hand_written().name
    for row in report.rows:
        style = "bold" if row.name in ("discovered", best) else ""
        mode = row.interval(mode=True)
        table.add_row(
            Text(row.name), Text(str(row.interval())), f"{mode.estimate:.3f}", Text(row.note),
            style=style, end_section=row is report.rows[-3],
        )  # fmt: skip
    return table


def rich_table(found: TextTable) -> Table:
    """A table of text for the terminal."""
    table = Table(
        title=found.title or None, caption=found.caption, title_justify="left", caption_justify="left", show_edge=False,
        pad_edge=False,
    )  # fmt: skip
    for place, column in enumerate(found.columns):
        # a long name folds, numbers stay whole
        table.add_column(column, justify="right" if place else "left", no_wrap=bool(place), overflow="fold")
    for row in found.rows:
        table.add_row(*(Text(cell) for cell in row))
    return table


def difference_lines(report: CellReport) -> list[str]:
    """Discovered against where it started and against the best hand-written row, paired by unit, with p after Holm."""
    best = report.best_hand_written().name
    lines = [f"{'discovered minus':<18}{'sampled actions':<24}{'p':<7}{'mode':<24}p"]
    for (name, sampled, first), (_, mode, second) in zip(report.gains(), report.gains(mode=True), strict=True):
        lines.append(f"{name:<18}{sampled!s:<24}{p_text(first):<7}{mode!s:<24}{p_text(second)}")
    return [
        *lines,
        f"{best} is the best hand-written row; paired by unit, n = {report.units}, mean with 95 % t",
        "interval; p of the paired t test after Holm's correction for two comparisons",
    ]


def _generation_line(record: dict[str, Any]) -> str:
    failed = f"  failed {record['failed']}" if record["failed"] else ""
    return (
        f"generation {record['generation'] + 1:>3}  mean {_score(record['mean'])}  start {_score(record['start'])}  "
        f"best {_score(record['best'])}{failed}"
    )


def _cells_line(cells: dict[str, dict[str, float | None]]) -> str:
    """Search mean less start, on the same units, of every combination of task and data in their order."""
    pairs = ((one["mean"], one["start"]) for one in cells.values())
    gains = ["failed" if mean is None or start is None else f"{mean - start:+.3f}" for mean, start in pairs]
    return f"  mean - start of each  {'  '.join(gains)}"


def _cell_lines(cells: dict[str, dict[str, float | None]]) -> list[str]:
    """What every combination of task and data scored, a line each."""
    width = max(map(len, cells), default=0)
    return [
        f"  {name:<{width}}  mean {_score(one['mean'])}  start {_score(one['start'])}" for name, one in cells.items()
    ]


def _score(value: float | None) -> str:
    return "failed" if value is None else f"{value:.3f}"


def _sparkline(values: list[float | None], width: int = 60) -> str:
    shown = [value for value in values[-width:] if value is not None]
    if not shown:
        return ""
    low, span = min(shown), max(max(shown) - min(shown), 1e-9)
    return "".join(BLOCKS[min(7, int(8 * (value - low) / span))] for value in shown)


def _plural(unit: str, count: int) -> str:
    if count == 1:
        return unit
    return f"{unit[:-1]}ies" if unit.endswith("y") else f"{unit}s"


def _count(amount: int) -> str:
    return f"{amount / 1e6:.1f}M" if amount >= 1e6 else f"{amount / 1e3:.0f}k" if amount >= 1e4 else f"{amount:.0f}"


def _seconds(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 60 else _duration(seconds)


def _duration(seconds: float) -> str:
    seconds = round(seconds)
    if seconds >= 3600:
        return f"{seconds // 3600} h {seconds % 3600 // 60:02d} min"
    return f"{seconds // 60} min {seconds % 60:02d} s" if seconds >= 60 else f"{seconds} s"
