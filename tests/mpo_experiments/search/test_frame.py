"""A search whose networks lie where its data show them to."""

import equinox as eqx
import pytest

from mpo_experiments.objectives.frames import LEAST_WIDTH, frame_of
from mpo_experiments.search.build import learned_parts
from mpo_experiments.search.cells import SearchCell
from mpo_experiments.search.frame import search_frame
from mpo_experiments.settings.run_config import build_run
from mpo_experiments.testbed import Testbed


def cells_of(run):
    testbed = Testbed("reach", length=50)
    return [SearchCell(cell, testbed) for cell in run.cells()]


def frame_in(objective):
    network = objective.phi_inv.network
    return {"centre": float(network.centre), "width": float(network.width)}


@pytest.fixture(scope="module")
def run(reach):
    rows = {"rows": {"length": 50, "count": 8}}
    return build_run({"task": "reach", "data": "mixed:0.5", "preset": "smoke", "search": {"frame": "data"}}, rows)


def test_the_frame_lies_at_the_data_and_follows_from_the_seed(run):
    found = search_frame(cells_of(run))
    assert found == search_frame(cells_of(run))
    assert -20 < found.centre < 0
    assert found.width > LEAST_WIDTH  # pulls of 0.1 and 3 are far apart
    own = search_frame(cells_of(run.model_copy(update={"kinds": ("pairs:oo=1",)})))
    assert own.centre == pytest.approx(found.centre, abs=0.1)
    assert own.width == LEAST_WIDTH


def test_the_start_of_a_search_has_it(run):
    cells = cells_of(run)
    assert frame_in(eqx.combine(*learned_parts(run, cells))) == pytest.approx(vars(search_frame(cells)))
    of_card = run.model_copy(update={"search": build_run({"task": "reach", "preset": "smoke"}).search})
    assert frame_in(eqx.combine(*learned_parts(of_card, cells))) == pytest.approx(vars(frame_of(["reach"])))
