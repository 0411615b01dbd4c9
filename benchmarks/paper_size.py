"""Cells at the paper's size (1280 rows of 2 x 1000 steps): runs those that are named, then writes a table of all.

Run: python -m benchmarks.paper_size [--pairs DIR] [CELL ...]   (as halfcheetah-mixed75; none: the table alone). It can
be interrupted and goes on where it was. A cell takes an hour on two cores, and two to three where these are slow; half
of it is rolling out. `--pairs` keeps what was rolled out, for controls of the cell, what is added to it, and the task's
other kinds of data (some 6 GB a cell).
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from adapters.plotting.panels import Axes, new_figure, save_figure
from adapters.storage.files import write_whole
from benchmarks.run_mpo import run_mpo
from mpo_experiments.benchmark.cell import DEFAULT_IDS, BenchmarkCell, CellKey, Entry
from mpo_experiments.benchmark.folder import BenchmarkFolder
from mpo_experiments.benchmark.score_axes import MODE, SAMPLED, ScoreLine, draw_scores, name_marks
from mpo_experiments.benchmark.summary import Standing, best_on_units, missing, required_best, standings
from mpo_experiments.benchmark.tables import NOT_RUN, interval_text, short_id
from mpo_experiments.benchmark.verdicts import Gain, gain, verdicts
from mpo_experiments.figures.style import INK, LEARNED, MUTED
from mpo_experiments.text_table import TextTable

ROOT, PICTURE = Path("docs/results/paper-size"), Path("docs/images/paper-size.png")
SEED, UNITS, BUDGET, TUNING_UNITS = 36, 20, 8, 2
FOUND = {
    "halfcheetah": ("mixed75-static", "mixed75-temporal"), "ant": ("mixed75-static", "noisy20-temporal"),
    "three_legged_ant": ("mixed75-static",), "hopper": ("noisy20-static",),
}  # fmt: skip
"""Bundled objectives of a task, found at the quick size."""
AT_THIS_SIZE = {
    "halfcheetah": ("docs/results/gpu/paper-size-search",),
    "three_legged_ant": ("docs/results/paper-size/searches/three_legged_ant-mixed75/paper-size-search",),
}
"""Found by a search at the paper's size."""
HEADLINE = (
    ("halfcheetah", "mixed:0.75"), ("ant", "mixed:0.75"), ("three_legged_ant", "mixed:0.75"), ("ant", "noisy:0.2"),
)  # fmt: skip
CELLS = (
    *HEADLINE,
    *((task, data) for task in FOUND for data in ("mixed:0.75", "noisy:0.2", "base") if (task, data) not in HEADLINE),
)
KINDS = ("sampled", "mode")
MEANING = (
    (SAMPLED, LEARNED, "discovered"), (SAMPLED, INK, "hand-written, tuned"),
    ("-", MUTED, "sampled actions, 95 % interval"), (MODE, MUTED, "mode actions"),
)  # fmt: skip
"""Marks in the picture."""
CAPTION = (
    f"Means over {UNITS} units, paired by unit: 95 % t interval (not adjusted), p of the paired t test after Holm's "
    "correction for the {count} comparisons of the table, sampled and mode actions apart. Best tuned: highest score on "
    "the tuning units, before the reporting units were looked at; best on these units: highest mean on the very units "
    "of the table, for each kind of actions by itself."
)


def name_of(task: str, data: str) -> str:
    """A cell as its folder is called: halfcheetah-mixed75."""
    kind, _, level = data.partition(":")
    return f"{task}-{kind}{level.replace('0.', '').ljust(2, '0') if level else ''}"


FOLDERS = {name_of(*cell): cell for cell in CELLS}


def command(task: str, data: str) -> list[str]:
    """What runs a cell."""
    found = [f"discovered/{task}-{name}" for name in FOUND[task]]
    found += AT_THIS_SIZE.get(task, ())
    tuning = ("--budget", str(BUDGET), "--tuning-units", str(TUNING_UNITS))
    return benchmark_command(task, data, (*DEFAULT_IDS, *found), tuning, ROOT)


def benchmark_command(task: str, data: str, ids: Sequence[str], tuning: Sequence[str], root: Path) -> list[str]:
    """A benchmark at the paper's size, on the units of the table.

    Args:
        tuning: its options.
        root: of the cells' folders.
    """
    return [
        "benchmark", "--task", task, "--data", data, "--preset", "paper", "--objectives", ",".join(ids), *tuning,
        "--units", str(UNITS), "--seed", str(SEED), "--out", str(root / name_of(task, data)),
    ]  # fmt: skip


def key_of(task: str, data: str) -> CellKey:
    """A cell as a benchmark has it."""
    return CellKey(task, data, bin_width=0.1, rows=None)


def cells_there(root: Path = ROOT, asked: Sequence[tuple[str, str]] = CELLS) -> list[BenchmarkCell]:
    """Of the cells asked for, those that were run."""
    found = [BenchmarkFolder(root / name_of(*cell)).any_cell(key_of(*cell)) for cell in asked]
    return [cell for cell in found if cell is not None]


def gains_table(
    title: str, cells: list[BenchmarkCell], against: Callable[[BenchmarkCell, str], Entry],
    asked: Sequence[tuple[str, str]],
) -> TextTable:  # fmt: skip
    """A line an objective that was found, in every cell.

    Args:
        against: the hand-written objective that it meets in a cell for a kind of actions, on the cell's units.
        asked: tasks and data of all cells that there should be.
    """
    lines = [(cell, one) for cell in cells for one in cell.objectives if one.sha256 is not None]
    others = [{kind: against(cell, kind) for kind in KINDS} for cell, _ in lines]
    gains = {
        kind: [gain([one], other[kind], kind) for (_, one), other in zip(lines, others, strict=True)] for kind in KINDS
    }
    told = {kind: _told(gains[kind]) for kind in KINDS}
    rows = [
        (
            str(cell.key), short_id(one.id), f"{_mean(one, 'sampled')} / {_mean(one, 'mode')}",
            " / ".join(dict.fromkeys(other[kind].id for kind in KINDS)), *told["sampled"][at], *told["mode"][at],
            cell.provenance["devices"]["kind"],
        )
        for at, ((cell, one), other) in enumerate(zip(lines, others, strict=True))
    ]  # fmt: skip
    columns = (
        "cell", "found", "score, sampled / mode", "against", "sampled actions", "p (Holm)", "so it is", "mode",
        "p (Holm)", "so it is", "device",
    )  # fmt: skip
    absent = [(str(key), *[NOT_RUN] * (len(columns) - 1)) for key in missing([key_of(*cell) for cell in asked], cells)]
    return TextTable(title, columns, (*rows, *absent), CAPTION.format(count=len(lines)))


def _mean(one: Entry, kind: str) -> str:
    scores = getattr(one, kind)
    return f"{sum(scores) / len(scores):.2f}"


def _told(gains: list[Gain]) -> list[tuple[str, str, str]]:
    judged = verdicts(gains) if gains else []
    return [(interval_text(one.interval), by.p_text, by.word) for one, by in zip(gains, judged, strict=True)]


def write_table(root: Path = ROOT, out: Path | None = None) -> Path:
    """Writes results.md beside the cells' folders."""
    cells = cells_there(root)
    return write_tables((out or root) / "results.md", "At the paper's size", gains_tables(cells, cells, CELLS))


def gains_tables(
    cells: list[BenchmarkCell], zoo: list[BenchmarkCell], asked: Sequence[tuple[str, str]], how: str = ""
) -> tuple[TextTable, TextTable]:
    """What was found minus the best hand-written objective, by tuning and on the units.

    Args:
        zoo: where the hand-written objectives of each cell are.
        how: they were tuned, for the titles.
    """
    by_key = {cell.key: cell for cell in zoo}

    def by_tuning(cell: BenchmarkCell, _: str) -> Entry:
        return required_best(by_key[cell.key])

    def on_units(cell: BenchmarkCell, kind: str) -> Entry:
        return best_on_units(by_key[cell.key], kind) or by_tuning(cell, kind)

    return (
        gains_table(f"Found minus the best tuned loss{how}", cells, by_tuning, asked),
        gains_table(f"Found minus the loss that is best on these units{how}", cells, on_units, asked),
    )


def write_tables(path: Path, title: str, tables: Sequence[TextTable]) -> Path:
    """Writes tables below a title."""
    parts = [f"# {title}", *(table.markdown().strip() for table in tables)]
    write_whole(path, ("\n\n".join(parts) + "\n").encode())
    return path


def draw(path: Path, cells: list[BenchmarkCell]) -> None:
    """A panel a cell: all losses, best first; each has a scale of its own, since some end far below the start."""
    across = min(2, len(cells))
    down = -(-len(cells) // across)
    figure = new_figure(8.0 if across == 1 else 10.0, 0.6 + 3.3 * down)
    panels = list(figure.subplots(down, across, squeeze=False).flat)
    for axes, cell in zip(panels, cells, strict=False):
        _panel(axes, cell)
    for axes in panels[len(cells) :]:
        axes.set_axis_off()
    figure.supxlabel(
        "normalised score (inter-quartile mean): 0 the policy to be improved, 1 the target; "
        f"{UNITS} units, 1280 pairs of 1000 steps",
        fontsize=8, color=INK,
    )  # fmt: skip
    handles = figure.axes[0].get_legend_handles_labels()
    figure.legend(*handles, loc="outside upper center", ncols=4, frameon=False, fontsize=8)
    save_figure(figure, path)


def _panel(axes: Axes, cell: BenchmarkCell) -> None:
    hashed = {one.id for one in cell.objectives if one.sha256 is not None}
    order = standings([cell])
    colours = [LEARNED if one.id in hashed else INK for one in order]
    draw_scores(axes, [ScoreLine(_label(cell.task, one), one, of, of) for one, of in zip(order, colours, strict=True)])
    name_marks(axes, MEANING)
    axes.locator_params(axis="x", nbins=6)
    axes.set_title(str(cell.key), fontsize=8.5, color=INK)


def _label(task: str, one: Standing) -> str:
    if one.id in AT_THIS_SIZE.get(task, ()):
        return "found at this size"
    cell, _, form = one.id.removeprefix("discovered/").rpartition("-")
    return f"found on {FOLDERS[cell][1]}, {form}" if cell in FOLDERS else one.id


def asked_for(arguments: list[str], what: str) -> tuple[list[str], list[str]]:
    """Names on a command line, and the options that `mpo benchmark` is given for all of them.

    Args:
        what: the names are of, in capitals.
    """
    parser = argparse.ArgumentParser(description=f"Run benchmarks at the paper's size; without a {what}: their tables.")
    parser.add_argument("names", nargs="*", metavar=what)
    parser.add_argument("--pairs", metavar="DIR", help="keeps what is rolled out, and takes what is there")
    given = parser.parse_args(arguments)
    return given.names, [] if given.pairs is None else ["--pairs", given.pairs]


def main(arguments: list[str]) -> None:
    """Runs the cells that are named, one after another."""
    names, options = asked_for(arguments, "CELL")
    unknown = [name for name in names if name not in FOLDERS]
    if unknown:
        raise SystemExit(f"paper_size: no cell {unknown[0]!r}; there are {', '.join(FOLDERS)}")
    for name in names:
        run_mpo([*command(*FOLDERS[name]), *options])
    if not cells_there():
        raise SystemExit(f"paper_size: {ROOT} has none of its cells yet: name one, such as {next(iter(FOLDERS))}")
    draw(PICTURE, cells_there())
    sys.stdout.write(f"Written to {write_table()} and {PICTURE}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
