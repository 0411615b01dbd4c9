"""The tables of a benchmark, from cells whose numbers are known."""

import csv
import io
import json

import matplotlib.image
import numpy as np
import pytest
from scipy import stats

from helpers.benchmark_cells import LEVELS, SETTINGS, UNITS, make_cell
from helpers.figures import left_out
from mpo_core.evaluation.statistics import holm, interquartile_mean, mean_interval
from mpo_experiments.benchmark import figures
from mpo_experiments.benchmark.again import keys_of
from mpo_experiments.benchmark.cell import BenchmarkCell, CellKey
from mpo_experiments.benchmark.difference_tables import differences_table, short_differences_table
from mpo_experiments.benchmark.folder import BenchmarkFolder
from mpo_experiments.benchmark.report import write_benchmark
from mpo_experiments.benchmark.summary import differences, standings
from mpo_experiments.benchmark.sweeps import by_size, sweeps
from mpo_experiments.benchmark.tables import (
    NO_NOISE,
    cell_table,
    judge_table,
    overview_table,
    ranges_table,
    scores_table,
    short_table,
)
from mpo_experiments.benchmark.verdicts import Gain, verdicts
from mpo_experiments.figures.style import folded
from mpo_experiments.text_table import TextTable
from mpo_experiments.tuning.searched import SearchedRange


def ranked(cells):
    return {cell.key: standings([cell]) for cell in cells}


def test_objectives_are_ordered_by_their_scores_and_those_that_see_rewards_come_last():
    assert [one.id for one in standings([make_cell()])] == ["orpo", "sft", "dpo", "mmpo"]


def test_a_standing_is_the_interquartile_mean_of_its_units():
    cell = make_cell()
    orpo = next(one for one in standings([cell]) if one.id == "orpo")
    assert orpo.sampled.estimate == pytest.approx(float(interquartile_mean(np.array(cell.objectives[1].sampled))))
    assert orpo.sampled.low < orpo.sampled.estimate < orpo.sampled.high
    assert orpo.improvement is not None
    assert orpo.improvement.estimate == 1.0


def test_sft_has_no_improvement_over_itself_and_nobody_has_one_without_it():
    assert next(one for one in standings([make_cell()]) if one.id == "sft").improvement is None
    without = make_cell(levels={"orpo": 0.6, "dpo": 0.1})
    assert all(one.improvement is None for one in standings([without]))


def test_several_cells_are_strata():
    cells = [make_cell(seed=1), make_cell(data="noisy:0.2", seed=2, levels=dict.fromkeys(LEVELS, 0.0))]
    orpo = next(one for one in standings(cells) if one.id == "orpo")
    # all units of both cells: resampling within cells keeps the halves equal, so the interval stays narrow
    assert orpo.sampled.units == 2 * UNITS
    assert orpo.sampled.high - orpo.sampled.low < 0.05


def test_a_cell_that_was_not_run_says_so():
    cells = [make_cell()]
    keys = [cells[0].key, CellKey("ant", "base")]
    table = overview_table(keys, cells, ranked(cells))
    assert table.columns[-1] == "ant, base"
    assert {row[-1] for row in table.rows} == {"not run"}
    assert {row[-2] for row in table.rows} == {
        f"{one.sampled.estimate:.2f} / {one.mode.estimate:.2f}" for one in standings(cells)
    }


def test_the_full_table_of_a_cell_names_settings_failures_and_its_command():
    cell = make_cell(levels=LEVELS | {"sft": -1.0})
    cell.objectives[0].sampled[:3] = [-1.0, -1.0, 0.5]
    table = cell_table(cell, standings([cell]))
    by_name = {row[0]: row for row in table.rows}
    assert by_name["orpo"][-1] == "lam=0.25"
    assert by_name["dpo"][-1] == "default; 10 SFT epochs first"
    assert by_name["sft"][-2] == "2"
    assert by_name["sft"][3] == f"{np.mean(cell.objectives[0].sampled):.2f}"
    assert "mmpo (sees rewards)" in by_name
    assert cell.command in table.caption
    assert "9.0" not in str(table)  # tuning scores are optimistic


def test_what_less_action_noise_is_worth_stands_in_every_table():
    cell = make_cell().model_copy(update={"original_mode": 300.0})  # of 100 to 900
    for table in (cell_table(cell, standings([cell])), short_table(cell, standings([cell]))):
        assert table.rows[-1][:3] in ((NO_NOISE, "0.25", "0.00"), (NO_NOISE, "0.25", "0.000"))
    assert overview_table([cell.key], [cell], ranked([cell])).rows[-1] == (NO_NOISE, "-", "-", "-", "0.25 / 0.00")
    assert NO_NOISE not in cell_table(make_cell(), standings([make_cell()])).markdown()  # nobody knows it


def with_saved(level, seed=5, noise=0.05):
    """A cell with a saved objective at a level."""
    cell = make_cell(seed=seed)
    rng = np.random.default_rng(seed)
    sampled = (level + noise * rng.normal(size=UNITS)).tolist()
    mode = (0.6 + noise * rng.normal(size=UNITS)).tolist()
    saved = cell.objectives[0].model_copy(
        update={"id": "./found", "sha256": "0", "sampled": sampled, "mode": mode, "tuning_score": 99.0}
    )
    return cell.model_copy(update={"objectives": [*cell.objectives, saved]})


def test_ahead_and_behind_are_said_by_the_adjusted_test_alone():
    cell = with_saved(0.75)
    table = differences_table(cell)
    assert table is not None
    by_name = {row[1].split(" (")[0]: row for row in table.rows}
    p_values = {}
    for kind, column in (("sampled", 3), ("mode", 8)):
        found = [np.subtract(getattr(cell.objectives[-1], kind), getattr(one, kind)) for one in cell.objectives[:-1]]
        p_values[kind] = holm(np.array([stats.ttest_1samp(one, 0).pvalue for one in found]))
        for one, gained, p in zip(cell.objectives[:-1], found, p_values[kind], strict=True):
            row = by_name[one.id]
            assert row[column] == ("<0.001" if p < 0.001 else f"{p:.3f}")
            word = "not told apart" if p >= 0.05 else "ahead" if gained.mean() > 0 else "behind"
            assert row[column + 1] == word
    assert {by_name[id][4] for id in ("sft", "orpo", "dpo")} == {"ahead"}
    assert by_name["mmpo"][4] == "behind"
    assert by_name["orpo"][9] == "not told apart"


def test_a_look_more_can_take_the_word_away():
    rng = np.random.default_rng(1)
    gains = [Gain(mean_interval(rng.normal(0.8, 1, 9)), p, 0.0, (0.8,)) for p in (0.03, 0.2, 0.4)]
    assert [one.word for one in verdicts(gains[:1])] == ["ahead"]
    assert [one.word for one in verdicts(gains)] == ["not told apart"] * 3


def test_the_best_by_tuning_and_the_best_on_the_units_are_both_named():
    cell = with_saved(0.75)
    first = cell.objectives[0].model_copy(update={"tuning_score": 10.0})  # sft; orpo does best on the units
    cell = cell.model_copy(update={"objectives": [first, *cell.objectives[1:]]})
    table = differences_table(cell)
    assert table is not None
    assert next(row[1] for row in table.rows) == "sft (best when tuned)"
    assert "orpo (best on these units)" in [row[1] for row in table.rows]
    short = short_differences_table(cell)
    assert short is not None
    assert max(sum(len(text) + 3 for text in row) for row in short.rows) <= 80
    assert "  sft *" in [row[0] for row in short.rows]


def test_ranges_say_how_often_they_were_extended():
    cell = make_cell()
    assert ranges_table(cell).rows == (("orpo", "lam", "0.1", "2", "-", "0", "-"),)
    searched = SearchedRange(low=0.01, high=2.0, log=True, extended=1, at_edge=False)
    orpo = cell.objectives[1].model_copy(update={"searched": {"lam": searched}, "loops": 9})
    cell = cell.model_copy(update={"objectives": [cell.objectives[0], orpo], "method": "halving"})
    assert ranges_table(cell).rows == (("orpo", "lam", "0.01", "2", "log", "1", "no"),)


def test_a_cell_of_before_names_the_method_it_was_made_by():
    old = make_cell().model_dump(mode="json")
    for name in ("method", "original_mode"):
        old.pop(name)
    old["command"] = "mpo benchmark --task hopper --data base --bin-width 0.1 --tuned-from there"
    for entry in old["objectives"]:
        for name in ("learning_rate", "loops", "searched"):
            entry.pop(name)
    read = BenchmarkCell.model_validate(old)
    assert read.method == "fixed"
    assert read.command == "mpo benchmark --task hopper --data base --bin-width 0.1 --tuning fixed --tuned-from there"


def test_the_short_table_fits_a_terminal():
    table = short_table(make_cell(), standings([make_cell()]))
    assert max(sum(len(cell) + 3 for cell in row) for row in table.rows) <= 80


def test_the_judge_table_crosses_temperature_with_noise():
    kinds = ("base", "noisy:0.2", "judge:50", "noisy:0.2+judge:50")
    cells = [
        make_cell(data=kind, seed=place, levels={"sft": place / 10, "orpo": 1.0}) for place, kind in enumerate(kinds)
    ]
    table = judge_table(cells, "hopper", ranked(cells))
    assert table is not None
    assert table.columns == ("objective", "temperature", "noise 0", "noise 0.2")
    sft = [row for row in table.rows if row[0] == "sft"]
    assert [row[1] for row in sft] == ["0", "50"]
    assert [[cell.split()[0] for cell in row[2:]] for row in sft] == [["0.00", "0.10"], ["0.20", "0.30"]]
    assert judge_table(cells[:2], "hopper", ranked(cells)) is None
    partly = judge_table(cells[:3], "hopper", ranked(cells[:3]))
    assert partly is not None
    assert "not run" in partly.markdown()


def test_widths_are_compared_on_the_cells_they_share():
    cells = [make_cell(), make_cell(data="noisy:0.2"), make_cell(bin_width=0.05)]
    (widths,) = sweeps(cells)
    assert (widths.name, list(widths.cells)) == ("bin-width", [0.05, 0.1])
    assert [[cell.data for cell in group] for group in widths.cells.values()] == [["base"], ["base"]]
    assert {size: len(group) for size, group in by_size(cells).items()} == {"w0.05": 1, "w0.1": 2}


def test_numbers_of_pairs_and_of_faults_are_sweeps():
    counts = [make_cell(data="mixed:0.5", rows=rows) for rows in (512, 32, 128)]
    (pairs,) = sweeps(counts)
    assert (pairs.name, pairs.log, list(pairs.cells)) == ("pairs", True, [32, 128, 512])
    (beside,) = sweeps([*counts, make_cell("ant", "mixed:0.5", rows=64)])  # a cell beside takes nothing from a sweep
    assert beside == pairs
    assert list(by_size(counts)) == ["w0.1-r32", "w0.1-r128", "w0.1-r512"]
    names = ("base", "mixed:0.75", "mixed:0.5", "noisy:0.2", "mixed:0.5+noisy:0.2")
    kinds = [make_cell(task, data) for task in ("ant", "hopper") for data in names]
    (mixed,) = sweeps(kinds)  # two numbers of noise are none
    assert (mixed.name, mixed.log, list(mixed.cells)) == ("mixed", False, [0, 0.5, 0.75])
    assert [cell.task for cell in mixed.cells[0.5]] == ["ant", "hopper"]
    assert sweeps([make_cell(), make_cell(data="noisy:0.1"), make_cell("ant", "noisy:0.2")]) == []  # no task has all


@pytest.mark.parametrize("sizes", [{"rows": 32}, {}])
def test_a_cell_keeps_its_number_of_pairs(sizes, tmp_path):
    cell = make_cell(**sizes)
    folder = BenchmarkFolder(tmp_path)
    folder.save(cell)
    assert folder.any_cell(cell.key) == cell
    assert ("rows 32" in cell.command, "-r32" in next((tmp_path / "cells").iterdir()).name) == (2 * (bool(sizes),))
    assert SETTINGS.config(cell.key).rows.count == sizes.get("rows", 128)
    write_benchmark(tmp_path, [cell.key], [cell], SETTINGS)
    assert keys_of(tmp_path) == [cell.key]


def test_scores_of_several_numbers_of_pairs_are_told_apart():
    cells = [make_cell(rows=32), make_cell(rows=128)]
    for cell in cells:
        cell.config["rows"] = {"count": cell.rows, "length": 200}
    table = scores_table(cells)
    keys = {
        tuple(value for name, value in zip(table.columns, row, strict=True) if name not in ("sampled", "mode"))
        for row in table.rows
    }
    assert len(keys) == len(table.rows)
    assert "pairs" not in scores_table([make_cell()]).columns


def test_latex_escapes_and_csv_reads_back():
    table = TextTable("95 % of a_b", ("name", "x & y"), (("r_dpo", "0.1 [0, 1]"), ("sft", "1,5")), "50 %")
    assert r"95 \% of a\_b" in table.latex()
    assert r"r\_dpo & 0.1 [0, 1] \\" in table.latex()
    told = TextTable("P(> sft)", ("p",), (("<0.001",), ("{~^\\}",)), "").latex()
    for text in (
        r"P(\textgreater{} sft)",
        r"\textless{}0.001",
        r"\{\textasciitilde{}\textasciicircum{}\textbackslash{}\}",
    ):
        assert text in told
    assert list(csv.reader(io.StringIO(table.csv()))) == [list(table.columns), *map(list, table.rows)]


def test_what_lies_beyond_the_axis_of_the_ranking_is_told_by_an_arrow_and_a_number(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(figures, "save_figure", lambda figure, path: drawn.append(figure))
    cell = make_cell(levels={"sft": 0.2, "orpo": 1.9, "simpo": -3.0, "dpo": -0.4})
    figures.draw_ranking(tmp_path / "ranking.png", [cell], ranked([cell]))
    (axes,) = drawn[0].axes
    arrows = {text.get_text(): text.xy for text in axes.texts}
    assert arrows == {"1.9 / mode 1.9": (axes.get_xlim()[1], 3), "-3.0 / mode -3.0": (axes.get_xlim()[0], 0)}


@pytest.mark.parametrize("data", ["mixed:0.75", "mixed_other:0.75+noisy_close:0.2+judge:5"])
@pytest.mark.parametrize("id", ["sft", "discovered/three_legged_ant-mixed75-static"])
def test_long_names_leave_the_panels_of_a_ranking_their_room(tmp_path, monkeypatch, data, id):
    drawn = []
    monkeypatch.setattr(figures, "save_figure", lambda figure, path: drawn.append(figure))
    cells = [make_cell("three_legged_ant@2", one, levels={"sft": 0.2, id: 0.6}) for one in (data, "base")]
    figures.draw_ranking(tmp_path / "ranking.png", cells, ranked(cells))
    (figure,) = drawn
    assert left_out(figure) <= 0
    first, second = (axes.get_tightbbox() for axes in figure.axes)  # with their titles and labels
    assert first.x1 <= second.x0
    assert all(axes.bbox.width / figure.dpi > 1.9 for axes in figure.axes)


def test_a_title_is_folded_at_spaces():
    title = "three_legged_ant@2, mixed:0.75"
    assert folded(title, 9.0, 8.0) == title
    assert folded(title, 1.5, 8.0) == "three_legged_ant@2,\nmixed:0.75"
    assert folded(title, 0.1, 8.0) == "three_legged_ant@2,\nmixed:0.75"
    assert folded("", 1.0, 8.0) == ""


def test_everything_is_written_and_agrees(tmp_path):
    cells = [
        make_cell(),
        make_cell(data="mixed:0.5", seed=3),
        make_cell(bin_width=0.2, seed=4),
        make_cell(data="mixed:0.5", bin_width=0.2),
    ]
    keys = [cell.key for cell in cells] + [CellKey("ant", "base")]
    paths = write_benchmark(tmp_path, keys, cells, SETTINGS)
    assert {path.name for path in paths} == {
        "results.md", "results.tex", "scores.csv", "summary.json", "ranking-w0.1.png", "ranking-w0.2.png",
        "bin-width.png",
    }  # fmt: skip
    markdown = (tmp_path / "results.md").read_text()
    assert "Not run: ant, base." in markdown
    assert all(cell.command in markdown for cell in cells)
    scores = list(csv.DictReader((tmp_path / "scores.csv").open()))
    assert len(scores) == len(cells) * len(LEVELS) * UNITS
    first = [float(row["sampled"]) for row in scores[:UNITS]]
    assert first == cells[0].objectives[0].sampled
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["not_run"] == [CellKey("ant", "base").as_json()]
    assert [one["objective"] for one in summary["cells"][0]["standings"]] == ["orpo", "sft", "dpo", "mmpo"]
    for path in paths:
        if path.suffix == ".png":
            image = matplotlib.image.imread(path)
            assert image.std() > 0.02


def test_of_many_hand_written_losses_a_saved_one_meets_the_two_that_matter():
    many = {f"loss_{place}": 0.02 * place for place in range(25)}
    cell = make_cell(levels=many | {"file/saved": 0.9})
    cell.objectives[-1].sha256 = "0" * 64
    cell.objectives[3].tuning_score = 10.0
    assert [one.against for one in differences(cell)] == ["loss_3", "loss_24"]
    few = make_cell(levels=dict(list(many.items())[:5]) | {"file/saved": 0.9})
    few.objectives[-1].sha256 = "0" * 64
    assert len(differences(few)) == 5
