"""The results in docs/results are what their commands print from the cells beside them."""

import re
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.app import app

RESULTS = Path(__file__).parents[2] / "docs" / "results"
DISCOVERY = (
    "discover", "--task", "halfcheetah,hopper,ant,three_legged_ant", "--data", "mixed:0.75,noisy:0.2,base",
    "--tuned-from", "docs/results/benchmark", "--seed", "33", "--search-seed", "33", "--units", "20",
    "--out", "docs/results/cells", "--only-tables",
)  # fmt: skip


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
    return folder / "docs" / "results" / "cells"


@pytest.mark.parametrize("name", ["results.md", "scores.csv", "summary.json"])
def test_the_table_of_discoveries_comes_from_its_cells(again, name):
    assert (again / name).read_text() == (RESULTS / "cells" / name).read_text()


def test_the_documentation_has_the_table_of_discoveries():
    def rows(text):
        lines = re.findall(r"^\| (\w+, [\w.:]+ \|(?: [^|]+\|){6})$", text, re.MULTILINE)
        return [" ".join(line.split()) for line in lines]

    written = rows((RESULTS / "cells" / "results.md").read_text())
    assert len(written) == 12
    assert set(written) <= set(rows((RESULTS.parent / "discovery.md").read_text()))
