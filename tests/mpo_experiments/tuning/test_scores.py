"""Data of units that are kept for their next use."""

import pytest

from mpo_core import memory
from mpo_core.evaluation.jobs import Units
from mpo_core.memory import MAX_UNIT_BYTES, units_to_keep
from mpo_experiments.tuning.scores import KeptUnits


@pytest.mark.parametrize(
    ("most", "asked", "made"),
    [
        (2, [(0, 1), (1, 1), (0, 1), (1, 1)], [(0, 1), (1, 1)]),
        (2, [(0, 1), (1, 1), (2, 1), (1, 1), (0, 1)], [(0, 1), (1, 1), (2, 1), (0, 1)]),  # that of longest ago goes
        (2, [(0, 1), (1, 1), (0, 1), (2, 1), (0, 1)], [(0, 1), (1, 1), (2, 1)]),  # a use counts, not the making alone
        (0, [(0, 1), (0, 1), (1, 1), (0, 1)], [(0, 1), (1, 1), (0, 1)]),  # one batch stays, however large
        (3, [(0, 2), (2, 2), (0, 2)], [(0, 2), (2, 2), (0, 2)]),
        (4, [(0, 2), (0, 1), (0, 2)], [(0, 2), (0, 1)]),  # another number of units is another batch
    ],
)
def test_units_are_made_again_only_where_memory_did_not_hold_them(most, asked, made):
    kept, seen = KeptUnits(most), {}

    def make(batch: tuple[int, int]) -> Units:
        seen.setdefault(batch, []).append(object.__new__(Units))
        order.append(batch)
        return seen[batch][-1]

    order: list[tuple[int, int]] = []
    for batch in asked:
        assert kept.get(*batch, lambda batch=batch: make(batch)) is seen[batch][-1]
    assert order == made


def test_what_is_dropped_is_dropped_before_more_is_made():
    kept = KeptUnits(1)
    held = []
    for first in range(2):
        kept.get(first, 1, lambda: held.append(kept.held) or object.__new__(Units))
    assert held == [0, 0]
    assert kept.held == 1


def test_a_large_host_keeps_more_and_a_small_one_what_fits_together(monkeypatch):
    unit = 4 * 36 * 2 * 1280 * 1000  # of the paper preset on ant
    monkeypatch.setattr(memory, "_host_bytes", lambda: 24 * 2**30)
    assert units_to_keep(unit) == 4
    monkeypatch.setattr(memory, "_host_bytes", lambda: 0)
    assert units_to_keep(unit) == MAX_UNIT_BYTES // unit == 1
    monkeypatch.setattr(memory, "_host_bytes", lambda: 24 * 2**30)
    monkeypatch.setattr(memory, "_limit_bytes", lambda: 80 * 10**9)  # an accelerator's memory is for training
    assert units_to_keep(unit) == 1
