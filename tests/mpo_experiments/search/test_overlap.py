"""A search's program is compiled while its pairs are rolled out: each waits here until the other is under way."""

import threading

import pytest

from mpo_experiments.progress import SilentReporter
from mpo_experiments.runs.folder import create_run
from mpo_experiments.search.cells import SearchCell
from mpo_experiments.search.meta_train import MetaTraining
from mpo_experiments.search.program import SearchProgram
from mpo_experiments.settings.run_config import build_run

PATIENCE = 60
"""Seconds after which one of them is taken to come after the other."""


class Seen(Exception):
    """The pairs have been asked for: there is nothing more to see."""


def test_pairs_are_rolled_out_while_the_search_compiles(tmp_path, monkeypatch):
    compiling, rolling, seen = threading.Event(), threading.Event(), {}

    def compiled(self, banks):
        compiling.set()
        seen["compiling"] = rolling.wait(PATIENCE)

    def bank(self, number, reporter):
        rolling.set()
        seen["rolling"] = compiling.wait(PATIENCE)
        raise Seen

    monkeypatch.setattr(SearchProgram, "compiled", compiled)
    monkeypatch.setattr(SearchCell, "bank", bank)
    config = build_run({"task": "halfcheetah", "preset": "smoke"})
    training = MetaTraining(create_run(tmp_path, config), config, SilentReporter())
    with pytest.raises(Seen):
        training._search(training.learned, training.common)
    assert seen == {"compiling": True, "rolling": True}
