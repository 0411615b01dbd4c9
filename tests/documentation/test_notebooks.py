"""The notebooks are what their sources say, were run without a fault, and run at the least sizes."""

import os
import runpy
import sys
from pathlib import Path

import nbformat
import pytest

from helpers.documentation import ROOT
from helpers.toy_run import environment

MAKER = runpy.run_path(str(ROOT / "docs" / "execute_notebooks.py"))
NAMES = MAKER["names"]()
ANEW = "run `python docs/execute_notebooks.py`"
LEAST = {
    "which_loss": 'TASK = "reach"\nSIZE = "--preset smoke --units 2 --budget 2 --tuning-units 2"',
    "discover_and_train": 'TASK = "reach"\nSIZE = "--preset smoke"\nLEARNING, EPOCHS, SAMPLES = 10, 1, 8',
}

SLOW = {"which_loss": "the other one starts as many processes"}


def committed(name):
    return nbformat.read(MAKER["FOLDER"] / f"{name}.ipynb", 4)


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_is_its_source_and_was_run(name):
    found, source = committed(name), MAKER["notebook"](name)
    nbformat.validate(found)
    assert [cell.source for cell in found.cells] == [cell.source for cell in source.cells], ANEW
    code = [cell for cell in found.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1)), ANEW
    kinds = {output.output_type for cell in code for output in cell.outputs}
    assert "error" not in kinds
    assert {"stream", "display_data", "execute_result"} & kinds
    assert f"colab.research.google.com/github/mirror-po/mpo/blob/main/docs/notebooks/{name}.ipynb" in str(
        found.cells[0]
    )
    told = "".join(output.get("text", "") for cell in code for output in cell.outputs)
    assert str(Path.home()) not in told
    assert "\x1b" not in told  # colours and moving lines
    assert (MAKER["FOLDER"] / f"{name}.ipynb").stat().st_size < 400_000


@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW)) for name in NAMES])
def test_a_notebook_runs(name, tmp_path, monkeypatch):
    pytest.importorskip("trl")
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    for variable, value in (environment(tmp_path / "known") | {"PATH": programs, "OMP_NUM_THREADS": "1"}).items():
        monkeypatch.setenv(variable, value)
    (tmp_path / "here").mkdir()
    made = MAKER["executed"](MAKER["notebook"](name, LEAST[name]), tmp_path / "here", seconds=600)
    assert (tmp_path / "here" / {"which_loss": "orpo.py", "discover_and_train": "moved"}[name]).exists()
    assert [cell.execution_count for cell in made.cells if cell.cell_type == "code"][-1] > 5
