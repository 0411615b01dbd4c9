"""`mpo compare` on the worked example's task."""

import csv
import json

import numpy as np
import pytest

from helpers.command_line import invoke
from mpo_experiments.compare.tables import variants_table
from mpo_experiments.compare.variants import Variant, VariantScores, parse_variant

COMMAND = ("compare", "--task", "reach", "--data", "base", "--preset", "smoke", "--units", "3", "--seed", "5",
           "--search-seed", "11", "--repeats", "2", "--set", "strategy.population=4")  # fmt: skip
VARIANTS = ("--variant", "cma es: strategy.name=cma_es", "--variant", "no time: temporal=false search.generations=3")


@pytest.fixture(scope="module")
def compared(reach, tmp_path_factory):
    out = tmp_path_factory.mktemp("compare") / "out"
    found = invoke(*COMMAND, *VARIANTS, "--out", out)
    assert found.exit_code == 0, found.output
    return found, out


def test_every_variant_is_searched_with_every_seed_and_its_settings(compared):
    _, out = compared
    configs = {path.parent.name: json.loads(path.read_text()) for path in out.glob("runs/*/config.json")}
    assert set(configs) == {"cma-es-11", "cma-es-12", "no-time-11", "no-time-12"}
    for name, config in configs.items():
        assert config["seed"] == int(name[-2:])
        assert config["temporal"] == name.startswith("cma")
        assert config["strategy"]["population"] == 4
    assert configs["cma-es-11"]["strategy"]["name"] == "cma_es"
    assert configs["no-time-11"]["search"]["generations"] == 3


def test_the_table_is_of_the_scores_on_the_shared_units(compared):
    found, out = compared
    with (out / "scores.csv").open() as file:
        rows = list(csv.DictReader(file))
    summary = json.loads((out / "summary.json").read_text())["variants"]
    assert [one["inner_loops"] for one in summary] == [2 * 4, 3 * 4]
    for one, name in zip(summary, ("cma-es", "no-time"), strict=True):
        for place, seed in enumerate((11, 12)):
            own = [float(row["sampled"]) for row in rows if row["objective"].endswith(f"runs/{name}-{seed}")]
            assert len(own) == 3
            assert one["searches"][place] == pytest.approx(np.mean(own), abs=1e-5)
    written = (out / "results.md").read_text()
    assert "--variant 'no time: temporal=false search.generations=3'" in written
    assert "| sft |" in written
    shown = found.stdout.split("Searches compared")[1]
    assert all(f"{one['by_search']['estimate']:.2f} [" in shown for one in summary)
    assert not any(mark in shown for mark in ("...", "…"))
    assert max(map(len, found.stdout.split("Written to")[0].splitlines())) <= 80


def test_it_goes_on_where_it_was_left_and_refuses_other_settings(compared):
    found, out = compared
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    again = invoke(*COMMAND, *VARIANTS, "--out", out)
    assert again.exit_code == 0, again.output
    assert again.stdout == found.stdout[found.stdout.index("Searches compared") :]
    assert {path: path.read_bytes() for path in before} == before
    other = invoke(*COMMAND, *VARIANTS, "--set", "search.datasets=2", "--out", out)
    assert other.exit_code == 2
    assert "was made with other settings" in other.stderr
    refused = invoke(*COMMAND, *VARIANTS, "--units", "4", "--out", out)  # of the cell, when all searches are done
    assert (refused.exit_code, "was made with other settings (units 3 and not 4)" in refused.stderr) == (2, True)


def test_intervals_are_over_searches_and_over_units():
    scores = np.array([[0.1, 0.3], [0.4, 0.6]])
    first = VariantScores(Variant("a", ()), scores, scores, 8, 64)
    second = VariantScores(Variant("b", ()), scores + np.array([[0.1], [0.3]]), scores, 8, 64)
    assert first.by_search.estimate == pytest.approx(0.35)
    assert first.by_search.high - 0.35 == pytest.approx(12.706 * 0.15, rel=1e-3)  # t with one degree of freedom
    assert first.by_unit.units == 4
    assert variants_table([first, second], []).rows[1][5].startswith("0.20 [")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--variant", "snes"), "write it as 'NAME: SETTING=VALUE ...'"),
        (("--variant", "../x: strategy.name=snes"), "a name has letters"),
        (("--variant", "x: strategy.name"), "write it as NAME=VALUE"),
        (("--variant", "x: strategy.name=snse"), "variant 'x': unknown strategy 'snse'"),
        (("--variant", "x: seed=3"), "is the same in all searches"),
        (("--variant", "x:", "--set", "seed=3"), "'seed' is the same in all searches"),
        (("--variant", "a b:", "--variant", "a-b:"), "two have the same name"),
        (("--variant", "x:", "--data", "base,noisy:0.1"), "one task and one kind of data"),
        (("--variant", "x:", "--init", "orop"), "did you mean 'orpo'"),
    ],
)
def test_mistakes_are_refused_at_the_door(reach, arguments, says, tmp_path):
    found = invoke(*COMMAND, *arguments, "--out", tmp_path / "new")
    assert found.exit_code == 2, found.output
    assert says in found.stderr
    assert len(found.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "new").exists()


def test_a_variant_is_a_name_and_settings():
    assert parse_variant("psi alone: search.maps=psi  temporal=false") == Variant(
        "psi alone", ("search.maps=psi", "temporal=false")
    )
