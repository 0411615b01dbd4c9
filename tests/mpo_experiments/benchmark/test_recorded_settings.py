"""Settings of cells are compared, not their commands; cells of before say theirs in their commands."""

import dataclasses
import json
from pathlib import Path

import pytest

from adapters.storage.files import read_json
from adapters.storage.sealed import write_sealed
from mpo_experiments.benchmark.cell import BenchmarkCell, BenchmarkSettings, CellKey, recorded_settings
from mpo_experiments.benchmark.folder import BenchmarkFolder
from mpo_experiments.settings.command import written_command

RESULTS = Path(__file__).parents[3] / "docs" / "results"
KEY = CellKey("halfcheetah", "mixed:0.75")
SETTINGS = BenchmarkSettings(tuning_units=3, units=10, seed=11, method="fixed")
NAME = "halfcheetah-mixed0.75-w0.1.json"


@pytest.mark.parametrize(
    "path", sorted(RESULTS.glob("*/cells/*w0.1.json")), ids=lambda path: f"{path.parts[-3]}-{path.stem}"
)
def test_the_command_of_a_committed_cell_says_its_settings(path):
    cell = BenchmarkCell.model_validate(
        {name: part for name, part in read_json(path, "cell").items() if name != "sha256"}
    )
    assert cell.settings is not None
    assert cell.settings.objectives == tuple(entry.id for entry in cell.objectives)
    assert cell.settings.units == cell.units
    again = recorded_settings(cell.settings.command(cell.key))
    assert again == cell.settings


def rewritten(folder, **changes):
    """A committed cell with changes, in a folder."""
    value = read_json(RESULTS / "benchmark" / "cells" / NAME, "cell") | changes
    value.pop("sha256", None)
    write_sealed(folder / "cells" / NAME, value)
    return BenchmarkFolder(folder)


def test_options_in_another_order_are_the_same_settings(tmp_path):
    options = {"seed": 11, "units": 10, "task": KEY.task, "data": KEY.data, "tuning_units": 3}
    command = written_command("benchmark", options)  # and what has its default left out
    assert rewritten(tmp_path, command=command).cell(KEY, SETTINGS) is not None


def test_objectives_in_another_order_are_the_same_cell(tmp_path):
    folder = BenchmarkFolder(RESULTS / "benchmark")
    backwards = SETTINGS.objectives[::-1]
    found = folder.cell(KEY, dataclasses.replace(SETTINGS, objectives=backwards))
    assert tuple(one.id for one in found.objectives) == backwards
    assert found.objectives[::-1] == folder.cell(KEY, SETTINGS).objectives


@pytest.mark.parametrize(
    "options", [{"units": 12}, {"tuned_from": "elsewhere"}, {"budget": 3}, {"objectives": ("sft",)}]
)
def test_other_settings_are_refused_by_their_name(options, tmp_path):
    given = {"seed": 11, "units": 10, "tuning_units": 3} | options
    folder = rewritten(tmp_path, command=written_command("benchmark", given))
    (name,) = options
    values = "without dpo" if name == "objectives" else ".* and not "
    with pytest.raises(ValueError, match=rf"was made with other settings \({name.replace('_', ' ')} {values}"):
        folder.cell(KEY, SETTINGS)


def test_a_command_that_says_nothing_is_refused_and_stored_settings_come_before_it(tmp_path):
    with pytest.raises(ValueError, match="was made with other settings; "):
        rewritten(tmp_path / "a", command="by hand").cell(KEY, SETTINGS)
    folder = rewritten(tmp_path / "b", command="by hand", settings=json.loads(json.dumps(vars(SETTINGS))))
    found = folder.cell(KEY, SETTINGS)
    assert found is not None
    folder.save(found)
    assert folder.cell(KEY, SETTINGS) == found
