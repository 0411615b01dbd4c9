"""The results in docs/results are what their commands print from the cells beside them, and the README says no more."""

import json
import re
import shutil

import pytest
from benchmarks.results import BENCHMARKS, DISCOVERY
from typer.testing import CliRunner

from cli.app import app
from helpers.committed_results import CONFIRMED, RESULTS, confirmed_row
from mpo_experiments.benchmark.again import write_again
from mpo_experiments.benchmark.leaderboard_page import PAGE

README = RESULTS.parents[1] / "README.md"


@pytest.fixture(scope="module")
def again(tmp_path_factory):
    """A copy in which the tables are written anew."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in ("benchmark", "cells"):
        shutil.copytree(RESULTS / name, folder / "docs" / "results" / name)
    for name in ("results.md", "scores.csv", "summary.json"):
        (folder / "docs" / "results" / "cells" / name).unlink()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        found = CliRunner().invoke(app, DISCOVERY)
    assert found.exit_code == 0, found.output
    assert max(map(len, found.stdout.split("Written to")[0].splitlines())) <= 80
    return folder / "docs" / "results" / "cells"


@pytest.mark.parametrize("name", ["results.md", "scores.csv", "summary.json"])
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


def test_the_documentation_has_the_table_of_discoveries():
    written = (RESULTS / "cells" / "results.md").read_text()
    table = written.partition("### Discovered minus the best tuned loss\n\n")[2].partition("\n\n")[0]
    assert len(table.splitlines()) == 2 + 12 * 2
    assert table in (RESULTS.parent / "discovery.md").read_text()


@pytest.mark.parametrize("folder", CONFIRMED)
def test_the_readme_has_the_numbers_of_the_confirmed_objectives(folder):
    assert confirmed_row(folder) in README.read_text()


def test_the_readme_counts_as_the_adjusted_tests_do():
    cells = json.loads((RESULTS / "cells" / "summary.json").read_text())["cells"]

    def ahead(form, against, kind):
        return sum(cell[form][against][kind]["so_it_is"] == "ahead" for cell in cells)

    text = " ".join(README.read_text().split())
    static, temporal = (
        [ahead(form, "minus_best_tuned", kind) for kind in ("sampled", "mode")] for form in ("static", "temporal")
    )
    assert (
        f"the static one is ahead of the best tuned loss in {static[0]} cells with sampled actions and in {static[1]} "
        f"with mode actions, the temporal one in {temporal[0]} and {temporal[1]}; none is behind"
    ) in text
    words = [cell[form]["minus_best_tuned"][kind]["so_it_is"] for cell in cells for form in ("static", "temporal")
             for kind in ("sampled", "mode")]  # fmt: skip
    assert "behind" not in words
    post_hoc = [ahead(form, "minus_best_on_units", "sampled") for form in ("static", "temporal")]
    assert (
        f"best on these very units the static one is ahead in {post_hoc[0]} cells, the temporal one in {post_hoc[1]}"
    ) in text


def test_the_readme_counts_what_carries_over_between_noisy_data():
    found = json.loads((RESULTS / "cells" / "transfer.json").read_text())["found"]
    noisy = [
        (place["so_it_is"], place["mode"]["so_it_is"])
        for one in found
        for where, place in one["minus_best_tuned"].items()
        if where != one["found_in"] and "noisy" in where and "noisy" in one["found_in"]
    ]
    text = " ".join(README.read_text().split())
    sampled, mode = (sum(words[kind] == "ahead" for words in noisy) for kind in (0, 1))
    assert f"ahead on another's in {sampled} of {len(noisy)} cases with sampled actions and in {mode} with mode" in text


def test_the_readme_and_the_page_of_the_main_job_have_the_same_run():
    """The output in the README is of a run that is not kept; the page on the main job has its numbers too."""
    shown = README.read_text().partition("```text")[2].partition("```")[0]
    page = (RESULTS / "main-job.md").read_text()
    for name in ("sft", "dpo", "orpo", "simpo", "cpo", "tempo", "start", "discovered"):
        scores = re.search(rf"^{name} +│ +(\S+ \[\S+ \S+\]) │ +(\S+) │", shown, re.MULTILINE)
        assert scores is not None, name
        assert f"| {scores[1]} | {scores[2]} |" in page, name
