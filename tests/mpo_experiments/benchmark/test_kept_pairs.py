"""`mpo benchmark --pairs`: trajectories that are there are not rolled out again, and change no score."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from adapters.storage.pair_files import read_pairs, write_pairs
from cli.app import app
from mpo_core.data.pair_bank import bank_shapes
from mpo_core.data.specification import parse_data_spec
from mpo_core.evaluation import comparison
from mpo_core.seeds import Stream
from mpo_core.settings import EvaluationSettings, InnerLoopSettings, RowSettings
from mpo_experiments.kept_pairs import KeptPairs
from mpo_experiments.tasks.load import load_task

ARGUMENTS = (
    "benchmark", "--task", "reach", "--objectives", "sft,orpo", "--budget", "2", "--tuning-units", "2", "--units", "3",
    "--preset", "smoke", "--seed", "3",
)  # fmt: skip
UNITS = 5
"""Of tuning and reporting."""

pytestmark = pytest.mark.usefixtures("reach")


@pytest.fixture
def rolled_out(monkeypatch):
    """Seeds of the units that were rolled out, one an entry."""
    made, generate = [], comparison.generate_banks

    def counted(program, agents, spec, size, keys, advance):
        made.extend(keys)
        return generate(program, agents, spec, size, keys, advance)

    monkeypatch.setattr(comparison, "generate_banks", counted)
    return made


def cell(out, data, *more):
    found = CliRunner().invoke(app, [str(one) for one in (*ARGUMENTS, "--data", data, "--out", out, *more)])
    assert found.exit_code == 0, found.output
    (path,) = (path for path in (out / "cells").glob("*.json") if "tuned" not in path.name)
    return [(one["settings"], one["sampled"], one["mode"]) for one in json.loads(path.read_text())["objectives"]]


def test_kinds_that_differ_in_labels_alone_share_them_and_others_do_not(rolled_out, tmp_path):
    alone = cell(tmp_path / "alone", "noisy:0.5")
    pairs = ("--pairs", tmp_path / "pairs")
    cell(tmp_path / "base", "base", *pairs)
    assert len(list((tmp_path / "pairs").iterdir())) == UNITS
    rolled_out.clear()
    assert cell(tmp_path / "noisy", "noisy:0.5", *pairs) == alone
    assert not rolled_out
    cell(tmp_path / "mixed", "mixed:0.75", *pairs)
    assert len(rolled_out) == UNITS
    rolled_out.clear()
    cell(tmp_path / "seed", "base", *pairs, "--seed", "4")
    assert len(rolled_out) == UNITS


def test_what_is_missing_or_damaged_is_rolled_out_again_and_nothing_else(rolled_out, tmp_path):
    pairs = ("--pairs", tmp_path / "pairs")
    first = cell(tmp_path / "first", "base", *pairs)
    gone, damaged, *_ = sorted((tmp_path / "pairs").iterdir())
    before = gone.read_bytes(), damaged.read_bytes()
    gone.unlink()
    damaged.write_bytes(bytes(one ^ 1 if place == len(before[1]) // 2 else one for place, one in enumerate(before[1])))
    rolled_out.clear()
    assert cell(tmp_path / "again", "base", *pairs) == first
    assert len(rolled_out) == 2
    assert (gone.read_bytes(), damaged.read_bytes()) == before


def test_what_was_rolled_out_before_an_interruption_is_kept(tmp_path, monkeypatch):
    generate, made = comparison.generate_banks, []

    def interrupted(*given):
        if len(made) == 3:
            raise KeyboardInterrupt
        made.append(given)
        return generate(*given)

    monkeypatch.setattr(comparison, "generate_banks", interrupted)
    given = [
        str(one) for one in (*ARGUMENTS, "--data", "base", "--out", tmp_path / "out", "--pairs", tmp_path / "pairs")
    ]
    assert CliRunner().invoke(app, given).exit_code == 130
    assert len(list((tmp_path / "pairs").iterdir())) == len(made) == 3


def settings(**changes):
    given = {
        "spec": parse_data_spec("base"), "rows": RowSettings(8, 6), "inner": InnerLoopSettings(),
        "evaluation": EvaluationSettings(episodes=2, horizon=6), "seed": 0, "stream": Stream.REPORTING,
    }  # fmt: skip
    return comparison.ComparisonSettings(**(given | changes))


def test_a_file_is_named_by_all_that_trajectories_follow_from(tmp_path):
    task = load_task("reach")
    known = KeptPairs(tmp_path, task, 0.1, settings())
    same = (
        settings(spec=parse_data_spec("noisy:0.2")), settings(inner=InnerLoopSettings(learning_rate=0.1)),
        settings(units=3), settings(first_unit=2), settings(evaluation=EvaluationSettings(episodes=4, horizon=6)),
    )  # fmt: skip
    other = (
        settings(spec=parse_data_spec("mixed:0.75")), settings(rows=RowSettings(8, 7)), settings(seed=1),
        settings(rows=RowSettings(9, 6)), settings(stream=Stream.TUNING),
    )  # fmt: skip
    for one in same:
        assert KeptPairs(tmp_path, task, 0.1, one).path(4) == known.path(4)
    paths = {known.path(4), known.path(5), KeptPairs(tmp_path, task, 0.2, settings()).path(4)}
    paths |= {KeptPairs(tmp_path, task, 0.1, one).path(4) for one in other}
    assert len(paths) == 3 + len(other)


def test_pairs_of_other_shapes_or_types_count_as_none(tmp_path):
    shapes = bank_shapes(load_task("reach"), RowSettings(4, 6))
    pairs = type(shapes)(**{name: np.zeros(leaf.shape, leaf.dtype) for name, leaf in vars(shapes).items()})
    path = tmp_path / "pairs.npz"
    assert read_pairs(path, shapes) is None
    write_pairs(path, pairs)
    found = read_pairs(path, shapes)
    assert found is not None
    np.testing.assert_array_equal(found.source, pairs.source)
    assert read_pairs(path, bank_shapes(load_task("reach"), RowSettings(4, 5))) is None
    np.savez(path, **(vars(pairs) | {"alive": np.zeros(pairs.alive.shape, bool)}))
    assert read_pairs(path, shapes) is None


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "pairs").write_text("mine")
    given = [str(one) for one in (*ARGUMENTS, "--out", tmp_path / "out", "--pairs", tmp_path / "pairs")]
    refused = CliRunner().invoke(app, given)
    assert refused.exit_code == 2
    assert "is a file, not a folder" in refused.stderr
    assert not (tmp_path / "out").exists()
