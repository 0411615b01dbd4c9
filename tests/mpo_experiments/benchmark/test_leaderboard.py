"""The page of a benchmark: its numbers, and what a browser makes of them."""

import json
import re

import numpy as np
import pytest

from helpers.benchmark_cells import LEVELS, SETTINGS, UNITS, make_cell
from helpers.browser import seen_on
from mpo_core.evaluation.statistics import holm, mean_interval, paired_p_value
from mpo_experiments.benchmark.cell import BenchmarkSettings, CellKey
from mpo_experiments.benchmark.leaderboard import leaderboard
from mpo_experiments.benchmark.leaderboard_page import page, write_page
from mpo_experiments.benchmark.summary import standings

FIXED = BenchmarkSettings(tuple(LEVELS), budget=2, tuning_units=2, units=UNITS, method="fixed", seed=7)
ABSENT = CellKey("ant", "noisy:0.2")


@pytest.fixture(scope="module")
def cells():
    """On hopper orpo is ahead of sft, the best when tuned; on halfcheetah the two are alike."""
    found = [make_cell(), make_cell("halfcheetah", seed=1, levels=LEVELS | {"orpo": 0.2})]
    for cell in found:
        cell.objectives[0].tuning_score = 10.0
    return [cell.model_copy(update={"settings": FIXED, "original_mode": 300.0}) for cell in found]


@pytest.fixture(scope="module")
def board(cells):
    return leaderboard([*(cell.key for cell in cells), ABSENT], cells, {c.key: standings([c]) for c in cells}, FIXED)


def place(board, id):
    return next(place for place, loss in enumerate(board["losses"]) if loss["id"] == id)


# -- the numbers -------------------------------------------------------------------------------------------------------


def test_a_loss_says_what_it_needs(board):
    dpo, orpo, mmpo = (board["losses"][place(board, id)] for id in ("dpo", "orpo", "mmpo"))
    assert (dpo["family"], dpo["reference"], dpo["normalised"], dpo["discovered"]) == ("log_ratio", True, False, False)
    assert (orpo["reference"], orpo["normalised"]) == (False, True)
    assert mmpo["sees"] == ["rewards"]


def test_every_other_loss_is_compared_with_the_best_tuned_one_and_every_comparison_counts(board, cells):
    sft, *others = cells[0].objectives
    differences = [np.array(one.sampled) - np.array(sft.sampled) for one in others]
    adjusted = holm(np.array([paired_p_value(one) for one in differences]))
    assert board["cells"][0]["best_tuned"] == "sft"
    assert board["cells"][0]["best_on_units"] == "orpo"
    assert board["cells"][0]["comparisons"] == len(others) == 3
    for one, difference, p in zip(others, differences, adjusted, strict=True):
        shown = board["scores"][place(board, one.id)][0]["sampled"]
        expected = mean_interval(difference)
        assert shown["gain"] == pytest.approx([expected.estimate, expected.low, expected.high], abs=1e-4)
        assert shown["word"] == ("ahead" if one.id in ("orpo", "mmpo") else "behind")
        assert shown["p"] == ("<0.001" if p < 0.001 else f"{p:.3f}")
    assert "gain" not in board["scores"][place(board, "sft")][0]["sampled"]
    assert board["scores"][place(board, "orpo")][1]["sampled"]["word"] == "not told apart"


def test_a_score_is_that_of_the_tables(board, cells):
    for column, cell in enumerate(cells):
        for one in standings([cell]):
            shown = board["scores"][place(board, one.id)][column]
            for kind in ("sampled", "mode"):
                assert shown[kind]["iqm"][0] == pytest.approx(getattr(one, kind).estimate, abs=1e-4)
                assert len(shown[kind]["units"]) == UNITS
    assert board["cells"][0]["no_noise"] == 0.25


def test_a_cell_that_was_not_run_has_no_scores_and_the_command_that_runs_it(board):
    assert [row[2] for row in board["scores"]] == [None] * len(LEVELS)
    assert board["cells"][2]["run"] is False
    assert board["cells"][2]["command"] == FIXED.command(ABSENT)


def test_one_loss_runs_again_alone_where_others_make_no_difference(board):
    assert board["cells"][0]["command"] == (
        "mpo benchmark --task hopper --data base --bin-width 0.1 --objectives THIS_LOSS --budget 2 --tuning-units 2 "
        f"--units {UNITS} --preset quick --seed 7 --tuning fixed"
    )
    halving = make_cell().model_copy(update={"settings": SETTINGS})  # goes on for all while one range is extended
    told = leaderboard([halving.key], [halving], {halving.key: standings([halving])}, SETTINGS)
    assert told["cells"][0]["command"] == halving.command


# -- the page ----------------------------------------------------------------------------------------------------------


def test_the_page_is_whole_and_asks_the_network_for_nothing(board, tmp_path):
    text = write_page(tmp_path, board).read_text()
    assert "default-src 'none'" in text
    assert not re.search(r"""(src|href)=|@import|url\(|\bfetch\(""", text)
    assert "/*" not in re.sub(r"/\*\*? .*?\*/", "", text)  # no part was left out
    kept = re.search(r'<script type="application/json" id="board">(.*?)</script>', text, re.DOTALL)
    assert kept is not None
    assert json.loads(kept[1]) == board


def test_a_name_ends_no_script(board):
    evil = json.loads(json.dumps(board))
    evil["losses"][0]["formula"] = "</script><b>"
    assert "</script><b>" not in page(evil)


DRIVE = """
<script>
const seen = {};
const texts = (selector) => [...document.querySelectorAll(selector)].map((one) => one.textContent);
const names = () => [...document.querySelectorAll("tbody tr")].map((row) => row.dataset.loss);
const press = (key) => document.querySelector(`th[data-key="${key}"] button`).click();
const choose = (id, value) => { at(id).value = value; at(id).dispatchEvent(new Event("input", { bubbles: true })); };
const paper = () => getComputedStyle(document.body).backgroundColor;
seen.first = names();
press("loss"); seen.byName = names();
press("0"); seen.byHopper = names();
press("0"); seen.byHopperUp = names();
press("2"); seen.byAbsent = names();
seen.absent = texts('td[data-cell="ant, noisy:0.2"]');
choose("reference", "true"); seen.needReference = names(); choose("reference", "");
choose("normalised", "true"); seen.normalised = names(); choose("normalised", "");
choose("discovered", "true"); seen.discovered = names(); choose("discovered", "");
choose("text", "RafaiLov"); seen.searched = names(); choose("text", "");
choose("task", "halfcheetah"); seen.columns = texts("thead small"); choose("task", "");
press("overall");
const orpo = document.querySelector('tr[data-loss="orpo"] td[data-cell="hopper, base"]');
seen.orpo = orpo.textContent;
orpo.dispatchEvent(new Event("mouseenter"));
seen.hovered = !at("detail").hidden;
orpo.dispatchEvent(new Event("mouseleave"));
seen.left = at("detail").hidden;
orpo.click();
seen.rings = document.querySelectorAll("#detail svg circle").length;
seen.detail = at("detail").textContent;
seen.command = document.querySelector("#detail pre").textContent;
document.dispatchEvent(new KeyboardEvent("keydown", { key: "Escape" }));
seen.closed = at("detail").hidden;
document.querySelector('tr[data-loss="orpo"] td.absent').click();
seen.toRun = document.querySelector("#detail pre").textContent;
const before = paper(); at("theme").click(); seen.papers = [before, paper()];
document.body.style.width = "400px"; // a browser's window is not as narrow as a telephone
seen.fits = document.body.scrollWidth <= 400;
document.body.append(element("pre", { id: "seen", text: JSON.stringify(seen) }));
</script>
"""


@pytest.fixture(scope="module")
def seen(board, tmp_path_factory):
    """What a headless browser without network has seen of the page."""
    path = tmp_path_factory.mktemp("page") / "driven.html"
    path.write_text(page(board).replace("</body>", DRIVE + "</body>"))
    return seen_on(path, "--window-size=500,800")


def test_a_browser_sorts(seen):
    assert seen["first"] == ["orpo", "sft", "dpo", "mmpo"]  # what sees rewards comes last
    assert seen["byName"] == ["dpo", "mmpo", "orpo", "sft"]
    assert seen["byHopper"] == seen["byAbsent"] == seen["first"]
    assert seen["byHopperUp"] == ["dpo", "sft", "orpo", "mmpo"]
    assert seen["absent"] == ["not run"] * 4


def test_a_browser_filters(seen):
    assert seen["needReference"] == ["dpo", "mmpo"]
    assert seen["normalised"] == ["orpo"]
    assert seen["discovered"] == []
    assert seen["searched"] == ["dpo"]
    assert seen["columns"] == ["2 of 3", "base"]


def test_a_browser_shows_a_score_with_its_units_and_its_command(seen):
    assert "▲" in seen["orpo"]
    assert "☆" in seen["orpo"]
    assert seen["hovered"]
    assert seen["left"]
    assert seen["rings"] == 4 * UNITS  # its own and those of the best tuned loss, sampled and mode
    assert "Minus sft: 0.4" in seen["detail"]
    assert "p (Holm) <0.001: ahead" in seen["detail"]
    assert seen["command"].startswith("mpo benchmark --task hopper --data base --bin-width 0.1 --objectives orpo ")
    assert seen["closed"]
    assert seen["toRun"] == FIXED.command(ABSENT)


def test_a_browser_has_both_themes_and_fits_a_telephone(seen):
    assert len(set(seen["papers"])) == 2
    assert seen["fits"]
