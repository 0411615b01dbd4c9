"""A picture of losses by kind of data, pooled over tasks, from the cells in docs/results/benchmark.

    python -m benchmarks.front_picture

It runs nothing. Beside the picture it writes its numbers (by-data.csv), which a test compares the README's with.
"""

import csv
import io
from pathlib import Path

from adapters.plotting.panels import new_figure, save_figure
from mpo_experiments.benchmark.again import keys_of
from mpo_experiments.benchmark.folder import BenchmarkFolder
from mpo_experiments.benchmark.score_axes import ScoreLine, draw_scores, name_marks
from mpo_experiments.benchmark.summary import Standing, standings
from mpo_experiments.figures.style import INK

FOLDER, PICTURE = Path("docs/results/benchmark"), Path("docs/images/ranking.png")
NUMBERS = FOLDER / "by-data.csv"
MEANING = {
    "base": "every pair tells:\ntarget against original", "noisy:0.2": "one label in five\nis flipped",
    "mixed:0.5": "half of the pairs\nsay little", "mixed:0.75": "three quarters of\nthe pairs say little",
}  # fmt: skip


def pooled(folder: Path = FOLDER) -> dict[str, list[Standing]]:
    """Standings of each kind of data, units of all tasks pooled; and, under "", those of all cells."""
    found = {key: BenchmarkFolder(folder).any_cell(key) for key in keys_of(folder)}
    cells = [cell for cell in found.values() if cell is not None]
    assert len(cells) == len(found)
    return {"": standings(cells)} | {data: standings([cell for cell in cells if cell.data == data]) for data in MEANING}


def numbers(ranked: dict[str, list[Standing]]) -> str:
    """Inter-quartile means with intervals, and the probability of a score above SFT's, as CSV; best first."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    kinds = ("sampled", "mode", "above_sft")
    writer.writerow(["data", "objective", *(f"{kind}{end}" for kind in kinds for end in ("", "_low", "_high"))])
    for data, found in ranked.items():
        for one in found:
            intervals = (one.sampled, one.mode, one.improvement)
            cells = [f"{getattr(it, end):.4f}" if it else "" for it in intervals for end in ("estimate", "low", "high")]
            writer.writerow([data or "all", one.id, *cells])
    return out.getvalue()


def draw(path: Path, ranked: dict[str, list[Standing]]) -> None:
    """A panel a kind of data; losses in their order over all cells."""
    order = [one.id for one in ranked[""]]
    figure = new_figure(9.6, 3.7)
    panels = figure.subplots(1, len(MEANING), sharex=True, sharey=True)
    for axes, (data, meaning) in zip(panels, MEANING.items(), strict=True):
        by_id = {one.id: one for one in ranked[data]}
        draw_scores(axes, [ScoreLine(id, by_id[id]) for id in order])
        axes.set_title(f"{data}\n{meaning}", fontsize=8, color=INK)
    name_marks(panels[0])
    figure.supxlabel(
        "normalised score: 0 the policy to be improved, 1 the target; four tasks, 40 units a panel, 128 pairs a unit",
        fontsize=8, color=INK,
    )  # fmt: skip
    figure.legend(
        *panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=2, frameon=False, fontsize=8
    )
    save_figure(figure, path)


def main() -> None:
    """Draws it, in the working folder's docs/images, and writes its numbers."""
    ranked = pooled()
    NUMBERS.write_text(numbers(ranked))
    draw(PICTURE, ranked)


if __name__ == "__main__":
    main()
