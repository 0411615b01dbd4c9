"""Results are what their commands print from the cells beside them, and README and findings say no more."""

import csv
import io
import json
import shutil

import pytest
from benchmarks.closed_form import FOLDERS, write_gains
from benchmarks.front_picture import numbers, pooled
from benchmarks.paper_size import write_table
from benchmarks.paper_size_controls import write_controls
from benchmarks.results import BENCHMARKS, DISCOVERY, ENGLISH, REVIEWS, SEEDS, TRANSFER
from benchmarks.searches_beside import GROUPS, write_beside
from rich.console import Console
from typer.testing import CliRunner

from cli.app import app
from cli.display import report_lines
from helpers.committed_results import CONFIRMED, RESULTS, confirmed_row, lead_rows
from mpo_experiments.benchmark.again import write_again
from mpo_experiments.benchmark.leaderboard_page import PAGE
from mpo_experiments.runs.report import load_report

README, FINDINGS = RESULTS.parents[1] / "README.md", RESULTS.parent / "findings.md"
QUICKSTART = RESULTS.parent / "quickstart.md"
ALL_DISCOVERIES = ("results.md", "scores.csv", "summary.json", "transfer.md", "transfer.csv", "transfer.json")


@pytest.fixture(scope="module")
def again(tmp_path_factory):
    """A copy in which the tables are written anew."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in ("benchmark", "cells"):
        shutil.copytree(RESULTS / name, folder / "docs" / "results" / name)
    for name in ALL_DISCOVERIES:
        (folder / "docs" / "results" / "cells" / name).unlink()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for command in (TRANSFER, DISCOVERY):
            found = CliRunner().invoke(app, command)
            assert found.exit_code == 0, found.output
            assert max(map(len, found.stdout.split("Written to")[0].splitlines())) <= 80
    return folder / "docs" / "results" / "cells"


@pytest.mark.parametrize("name", ALL_DISCOVERIES)
def test_the_table_of_discoveries_comes_from_its_cells(again, name):
    assert (again / name).read_text() == (RESULTS / "cells" / name).read_text()


@pytest.mark.parametrize("folder", BENCHMARKS)
def test_the_tables_of_a_benchmark_come_from_its_cells(folder, tmp_path, monkeypatch):
    monkeypatch.setattr("mpo_experiments.benchmark.report.draw_ranking", lambda *_: None)
    write_again(RESULTS / folder, tmp_path)
    written = ["results.md", "scores.csv", "summary.json"]
    written += [PAGE] if (RESULTS / folder / PAGE).is_file() else []
    for name in written:
        assert (tmp_path / name).read_text() == (RESULTS / folder / name).read_text(), name


@pytest.mark.parametrize(
    ("folder", "arguments", "where"),
    [
        ("transfer", ENGLISH, "transfer"),
        ("reviews", REVIEWS, "reviews/searches"),
        *(("seeds", arguments, f"seeds/{name}") for name, arguments in SEEDS.items()),
    ],
)
def test_the_tables_of_a_command_come_from_its_files(folder, arguments, where, tmp_path, monkeypatch):
    pytest.importorskip("trl")  # an optional extra: .ci/run installs it
    copy = shutil.copytree(RESULTS / folder, tmp_path / "docs" / "results" / folder)
    for name in ("results.md", "scores.csv", "summary.json"):
        (tmp_path / "docs" / "results" / where / name).unlink()
    monkeypatch.chdir(copy if folder == "transfer" else tmp_path)
    found = CliRunner().invoke(app, arguments)
    assert found.exit_code == 0, found.output
    for name in ("results.md", "scores.csv", "summary.json"):
        assert (tmp_path / "docs" / "results" / where / name).read_text() == (RESULTS / where / name).read_text()


@pytest.mark.parametrize("group", GROUPS, ids=lambda group: str(group[0].parent))
def test_the_kinds_of_search_beside_each_other_come_from_their_cells(group, tmp_path):
    folders = tuple(RESULTS.parent.parent / folder for folder in group)
    assert write_beside(folders, tmp_path).read_text() == (folders[0].parent / "results.md").read_text()


@pytest.mark.parametrize("folder", FOLDERS, ids=str)
def test_the_gains_of_the_closed_form_come_from_its_cells(folder, tmp_path):
    folder = RESULTS.parent.parent / folder
    assert write_gains(folder, out=tmp_path).read_text() == (folder / "floor_po.md").read_text()


@pytest.mark.parametrize("folder", ["seeds", "seeds/more"])
def test_the_documentation_has_the_differences_of_searches(folder):
    lines = [line.split(" | ") for line in (RESULTS / folder / "results.md").read_text().splitlines()]
    found = [(line[5], line[7]) for line in lines if line[0] in ("| sampled", "| mode") and len(line) == 9]
    page = (RESULTS.parent / "discovery.md").read_text()
    assert len(found) >= 6
    assert all(interval in page for pair in found for interval in pair if interval != "-")


def test_the_table_at_the_papers_size_comes_from_its_cells(tmp_path):
    folder = RESULTS / "paper-size"
    assert write_table(folder, tmp_path).read_text() == (folder / "results.md").read_text()
    written = write_controls(folder, tmp_path).read_text()
    assert written == (folder / "controls" / "results.md").read_text()


def test_the_documentation_has_the_numbers_at_the_papers_size():
    tuned = (RESULTS / "paper-size" / "results.md").read_text().split("\n### ")[1]
    found = [line for line in tuned.splitlines() if line.startswith("| ") and "not run" not in line][2:]
    page, cells = (RESULTS.parent / "paper-size.md").read_text(), {line.split(" | ")[0] for line in found}
    assert len(cells) >= 2
    assert all(line in page for line in found)


def test_the_documentation_has_the_controls_at_the_papers_size():
    written = (RESULTS / "paper-size" / "controls" / "results.md").read_text()
    lines = [line for table in written.split("\n### ")[1::2] for line in table.splitlines() if line.startswith("| ")]
    run = [line for line in lines if "not run" not in line and line.split(" | ")[0] not in ("| cell", "| ---")]
    left = sum("| not run |" in line for line in lines)
    page = (RESULTS.parent / "paper-size.md").read_text()
    assert len(run) + left >= 18
    assert all(line in page for line in run)
    words = ("one", "two", "three", "four", "five", "six", "seven")
    said = [count for count in words if f"{count} of eight controls" in words_of(README)]
    assert said == ([words[left - 1]] if left else [])
    assert ("All eight are run" in page) is (not left)


def row_of(cell, objective, table):
    """The fields of an objective's line in a table at the paper's size."""
    return next(line for line in table.splitlines() if line.startswith(f"| {cell} | {objective} |")).split(" | ")


@pytest.mark.parametrize(
    ("task", "data", "confirmed"),
    [
        ("halfcheetah", "mixed:0.75", "confirmed"),
        ("ant", "mixed:0.75", "confirmed-ant"),
        ("three_legged_ant", "mixed:0.75", "confirmed-three-legged-ant"),
        ("ant", "noisy:0.2", "confirmed-ant-noisy"),
    ],
)
def test_the_readme_has_the_leads_of_the_same_objectives_at_both_sizes(task, data, confirmed):
    row = confirmed_row(confirmed).split("|")
    quick, quick_mode = (part.strip().removesuffix(" ahead") for part in row[5:7])
    lead = row_of(f"{task}, {data}", row[2].strip().strip("`"), (RESULTS / "paper-size" / "results.md").read_text())
    assert f"| {task} `{data}` | {quick} ({quick_mode}) | {lead[4]} ({lead[7]}) |" in README.read_text()


def test_the_readme_has_the_control_on_noisy_labels():
    tables = (RESULTS / "paper-size" / "controls" / "results.md").read_text().partition("tuned with 768")[2]
    control = row_of("ant, noisy:0.2", "discovered/ant-noisy20-temporal", tables)
    assert (control[6], control[9]) == ("not told apart", "ahead")
    assert f"not told apart: {control[4]} (by mode behind: {control[7]})" in words_of(README)


def test_the_readme_has_the_control_on_ants_mixed_pairs():
    tables = (RESULTS / "paper-size" / "controls" / "results.md").read_text().partition("tuned with 768")[2]
    control = row_of("ant, mixed:0.75", "discovered/ant-mixed75-static", tables)
    assert (control[6], control[9]) == ("ahead", "ahead")
    assert f"(in the second by {control[4]}, by mode {control[7]})" in words_of(README)


def test_the_readme_has_the_control_with_learning_rates():
    tables = (RESULTS / "paper-size" / "controls" / "results.md").read_text()
    first, second, last = (
        row_of(*row, tables)
        for row in (
            ("halfcheetah, mixed:0.75", "discovered/halfcheetah-mixed75-temporal"),
            ("ant, mixed:0.75", "discovered/ant-mixed75-static"),
            ("ant, noisy:0.2", "discovered/ant-noisy20-temporal"),
        )
    )
    for control, said in ((first, "not told apart"), (second, "ahead"), (last, "not told apart")):
        assert (control[3], control[6], control[9]) == ("kto", said, said)
    leads = " and ".join(f"{control[4]} ({control[7]})" for control in (first, last))
    assert f"KTO is not told apart in the first row and the last**: {leads}." in words_of(README)
    assert f"In the second it stays behind: {second[4]} ({second[7]})." in words_of(README)


@pytest.mark.parametrize(
    ("folder", "searched", "page"), [("cells", 12 * 2, "discovery.md"), ("seeds/pairs", 4, "other-pairs.md")]
)
def test_the_documentation_has_the_table_of_discoveries(folder, searched, page):
    written = (RESULTS / folder / "results.md").read_text()
    table = written.partition("### Discovered minus the best tuned loss\n\n")[2].partition("\n\n")[0]
    assert len(table.splitlines()) == 2 + searched
    assert "not run" not in table
    assert table in (RESULTS.parent / page).read_text()


@pytest.mark.parametrize("folder", CONFIRMED)
def test_the_findings_have_the_numbers_of_the_confirmed_objectives(folder):
    assert confirmed_row(folder) in FINDINGS.read_text()


FOUND_ON = {"halfcheetah": 2, "ant": 2, "three_legged_ant": 1, "hopper": 1}
"""How many of the bundled objectives that were found on a task are judged on its other pairs of agents."""


@pytest.mark.parametrize("folder", [path.name for path in sorted((RESULTS / "pairs").glob("*@*"))])
def test_the_documentation_has_the_numbers_of_other_pairs_of_agents(folder):
    page, rows = (RESULTS.parent / "other-pairs.md").read_text(), lead_rows(f"pairs/{folder}")
    assert len(rows) == FOUND_ON[folder.partition("@")[0]]
    assert all(row in page for row in rows)


@pytest.mark.parametrize(("folder", "cells"), [("rows", 3), ("mixed", 3), ("noisy", 4)])
def test_the_findings_have_the_numbers_of_the_sweeps(folder, cells):
    page, rows = FINDINGS.read_text(), lead_rows(f"sweeps/{folder}")
    assert len(rows) == 2 * cells
    assert all(row in page for row in rows)


def words_of(page):
    return " ".join(page.read_text().split())


@pytest.fixture(scope="module")
def ranked():
    """Rows of the numbers of the picture, by kind of data ("all": over all cells) and id, best first."""
    found = {}
    for row in csv.DictReader((RESULTS / "benchmark" / "by-data.csv").open()):
        numbers = {name: float(text) for name, text in row.items() if text and name not in ("data", "objective")}
        found.setdefault(row["data"], {})[row["objective"]] = numbers
    return found


@pytest.mark.slow
def test_the_numbers_of_the_picture_come_from_the_cells():
    assert numbers(pooled(RESULTS / "benchmark")) == (RESULTS / "benchmark" / "by-data.csv").read_text()


def test_the_numbers_of_the_picture_are_those_of_the_tables(ranked):
    table = (RESULTS / "benchmark" / "results.md").read_text()
    for id, row in ranked["all"].items():
        assert f"| {id} | {interval_text(row)} | {row['mode']:.2f} [" in table


def test_the_readme_has_the_numbers_of_the_picture(ranked):
    first, text = next(iter(ranked["all"])), words_of(README)
    best, sft, imitating = ranked["all"][first], ranked["all"]["sft"], ranked["base"]["sft"]
    assert f"SFT scores {interval_text(imitating)} on `base` (mode {imitating['mode']:.2f})" in text
    assert (
        f"Over all 16 cells {first.upper()} is first: {interval_text(best)} (mode {best['mode']:.2f}) "
        f"against SFT's {interval_text(sft)} ({sft['mode']:.2f})"
    ) in text
    below = {id for id, row in ranked["all"].items() if row["sampled_high"] < sft["sampled_low"]}
    assert below == {"simpo", "dpo", "r_dpo"}
    assert all(row.get("above_sft_low", 0) < 0.5 for row in ranked["base"].values())  # none is clearly above SFT


def test_the_findings_have_the_numbers_of_the_picture(ranked):
    text, highest = words_of(FINDINGS), next(iter(ranked["base"]))
    assert f"scores {interval_text(ranked['base']['sft'])} (inter-quartile mean" in text
    assert f"{highest.upper()}, the highest, {interval_text(ranked['base'][highest])}" in text
    orpo, sft = (ranked["mixed:0.75"][id] for id in ("orpo", "sft"))
    assert f"it has {interval_text(orpo)} against SFT's {interval_text(sft)}" in text
    first = list(ranked["noisy:0.2"])[:4]
    assert set(first) == {"orpo", "cpo", "rrhf", "sft"}
    sampled, mode = ([ranked["noisy:0.2"][id][kind] for id in first] for kind in ("sampled", "mode"))
    assert (
        f"{max(sampled):.2f} to {min(sampled):.2f} with sampled actions, {max(mode):.2f} to {min(mode):.2f} with mode"
    ) in text


def interval_text(row):
    return f"{row['sampled']:.2f} [{row['sampled_low']:.2f}, {row['sampled_high']:.2f}]"


def test_findings_count_as_the_adjusted_tests_do():
    cells = json.loads((RESULTS / "cells" / "summary.json").read_text())["cells"]

    def ahead(form, against, kind):
        return sum(cell[form][against][kind]["so_it_is"] == "ahead" for cell in cells)

    text = words_of(FINDINGS)
    static, temporal = (
        [ahead(form, "minus_best_tuned", kind) for kind in ("sampled", "mode")] for form in ("static", "temporal")
    )
    assert (
        f"the static one is ahead of the best tuned loss in {static[0]} cells with sampled actions and in {static[1]} "
        f"with mode actions, the temporal one in {temporal[0]} and {temporal[1]}; none is behind"
    ) in text
    total = [one + other for one, other in zip(static, temporal, strict=True)]
    assert (
        f"{2 * len(cells)} searches {total[0]} are ahead of the best tuned loss with sampled and {total[1]} with mode"
    ) in words_of(README)
    words = [cell[form]["minus_best_tuned"][kind]["so_it_is"] for cell in cells for form in ("static", "temporal")
             for kind in ("sampled", "mode")]  # fmt: skip
    assert "behind" not in words
    post_hoc = [ahead(form, "minus_best_on_units", "sampled") for form in ("static", "temporal")]
    assert (
        f"best on these very units the static one is ahead in {post_hoc[0]} cells, the temporal one in {post_hoc[1]}"
    ) in text


def test_the_findings_count_what_carries_over_between_noisy_data():
    found = json.loads((RESULTS / "cells" / "transfer.json").read_text())["found"]
    noisy = [
        (place["so_it_is"], place["mode"]["so_it_is"])
        for one in found
        for where, place in one["minus_best_tuned"].items()
        if where != one["found_in"] and "noisy" in where and "noisy" in one["found_in"]
    ]
    text = words_of(FINDINGS)
    sampled, mode = (sum(words[kind] == "ahead" for words in noisy) for kind in (0, 1))
    assert f"ahead on another's in {sampled} of {len(noisy)} cases with sampled actions and in {mode} with mode" in text


def test_the_quickstart_shows_what_the_scores_of_its_run_say():
    out = Console(file=io.StringIO(), width=80, highlight=False)
    report = load_report(RESULTS / "main-job" / "seed-0")
    for line in report_lines(report):
        out.print(line)
    printed = [line.rstrip() for line in out.file.getvalue().strip().splitlines()]
    (shown,) = (part for part in QUICKSTART.read_text().split("```") if "discovered minus" in part)
    assert shown.partition("\n")[2].strip().splitlines() == printed
    page = (RESULTS / "main-job.md").read_text()
    (cell,) = report.cells
    for mode in (False, True):
        assert str(cell.difference(cell.best_hand_written().name, mode=mode)) in page
