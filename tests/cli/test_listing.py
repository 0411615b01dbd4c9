"""`mpo list objectives`: what it shows of an objective, and how the list is narrowed down."""

import json
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from cli import listing
from cli.app import app
from mpo_core.losses.catalogue import catalogue
from mpo_core.losses.members import member_ids


def invoke(*arguments):
    return CliRunner().invoke(app, ["list", "objectives", *arguments])


def listed(*arguments):
    found = invoke(*arguments, "--json")
    assert (found.exit_code, found.stderr) == (0, "")
    return json.loads(found.stdout)


@pytest.fixture(scope="module")
def everything():
    return listed()


def names(rows):
    return [row["name"] for row in rows]


def test_json_has_all_that_the_catalogue_says(everything):
    assert names(everything) == [entry.id for entry in catalogue()]
    for row, entry in zip(everything, catalogue(), strict=True):
        said = {"family", "member", "formula", "citation", "needs_reference", "sees_rewards", "sees_groups"}
        for field in (*said, "length_normalised", "sft_epochs"):
            assert row[field] == getattr(entry, field), entry.id
        assert row["is_member"] == (entry.id in member_ids())
        reads = {"reference": entry.needs_reference, "rewards": entry.sees_rewards, "groups": entry.sees_groups}
        assert row["needs"] == [need for need, is_read in reads.items() if is_read]


def test_needs_narrow_the_list(everything):
    for need in ("reference", "rewards", "groups"):
        assert listed("--needs", need) == [row for row in everything if need in row["needs"]]
    bare = listed("--needs", "none")
    assert bare == [row for row in everything if row["needs"] == []]
    assert {"sft", "simpo", "tempo"} <= set(names(bare))
    assert "dpo" not in names(bare)


def test_members_and_families_narrow_the_list(everything):
    assert sorted(names(listed("--member", "yes"))) == sorted(member_ids())
    assert listed("--member", "no") == [row for row in everything if not row["is_member"]]
    codes = {row["member"] for row in everything}
    for start in ("M0-bar", "MR"):
        assert {row["member"] for row in listed("--member", start)} == {
            code for code in codes if code.startswith(start)
        }
    assert {code for code in codes if code.startswith("M0-bar")} == {"M0-bar", "M0-bar~row"}
    assert listed("--family", "normalised") == [row for row in everything if row["family"] == "normalised"]


def test_options_together_narrow_the_list_further(everything):
    seeing = listed("--sees-rewards")
    assert seeing == [row for row in everything if row["sees_rewards"]]
    assert len(seeing) + len(listed("--no-sees-rewards")) == len(everything)
    both = listed("--sees-rewards", "--needs", "reference", "--member", "no")
    assert both == [row for row in seeing if row["needs_reference"] and not row["is_member"]]
    assert 0 < len(both) < len(seeing)
    assert listed("--sees-rewards", "--needs", "none") == []


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (
            ("--needs", "ref"),
            "unknown need 'ref': did you mean 'reference'? (allowed: reference, rewards, groups, none)",
        ),
        (("--needs", ""), "unknown need ''"),
        (("--family", "log-ratio"), "unknown family 'log-ratio': did you mean 'log_ratio'"),
        (("--member", "m0-bar"), "unknown member code 'm0-bar': did you mean 'M0-bar'"),
        (("--member", ""), "unknown member code ''"),
        (("--member", "maybe"), "(allowed: yes, no, M0, "),
    ],
)
def test_wrong_values_are_refused_in_one_sentence(arguments, says):
    for as_json in ((), ("--json",)):
        found = invoke(*arguments, *as_json)
        assert (found.exit_code, found.stdout) == (2, "")
        assert len(found.stderr.splitlines()) == 1
        assert found.stderr.startswith("Error: ")
        assert says in found.stderr


def test_the_table_fits_80_columns_and_counts(everything):
    found = invoke()
    lines = found.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[-1] == f"{len(everything)} objectives"
    table = [[cell.strip() for cell in line.split("│")] for line in lines if "│" in line]
    cells = {row[0]: row for row in table}
    assert cells["dpo"] == ["dpo", "MR", "ref", "softplus(-beta D)"]
    assert table[table.index(cells["dpo"]) + 1] == ["", "", "", "beta=0.1"]
    assert cells["sft"] == ["sft", "M0", "", "-lw"]
    assert table[table.index(cells["sft"]) + 1][0] == "sft_mean"
    seeing = [row["name"] for row in everything if row["needs"] == ["rewards"]]
    assert {cells[name][2] for name in seeing} == {"rewards"}
    few = invoke("--family", "normalised", "--needs", "none").stdout.splitlines()
    assert few[-1] == f"{len(listed('--family', 'normalised', '--needs', 'none'))} of {len(everything)} objectives"


def test_formulas_are_shown_letter_by_letter(capsys):
    listing._show([{"name": "a", "formula": "[bold]x[/nothing]"}], False, ("name", "formula"))
    assert "[bold]x[/nothing]" in capsys.readouterr().out


def test_a_short_list_starts_no_simulator():
    code = (
        "import sys; sys.argv = ['mpo', 'list', 'data']\n"
        "import cli\n"
        "try:\n    cli.main()\n"
        "except SystemExit as end:\n    assert not end.code, end.code\n"
        "heavy = {'jax', 'brax', 'equinox', 'mujoco', 'scipy'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr
    assert "noisy:E" in found.stdout
