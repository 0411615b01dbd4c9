"""Settings scored on tuning units, a range of units at a time; data of units are kept as far as memory holds them."""

import dataclasses
from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from mpo_core.evaluation.candidates import Candidate
from mpo_core.evaluation.comparison import ComparisonReturns, ComparisonSettings, unit_bytes
from mpo_core.evaluation.jobs import Units
from mpo_core.losses.catalogue import make_objective
from mpo_core.memory import units_to_keep
from mpo_experiments.progress import Reporter
from mpo_experiments.testbed import Testbed
from mpo_experiments.tuning.setting_search import Setting


class SettingScores:
    """Scores settings on units of a comparison; holds the data of the units it had last."""

    def __init__(self, testbed: Testbed, settings: ComparisonSettings, reporter: Reporter):
        self._testbed, self._settings, self._reporter = testbed, settings, reporter
        self._kept = KeptUnits(units_to_keep(unit_bytes(testbed.task, settings.rows)))

    def __call__(self, tried: list[tuple[str, Setting]], units: range) -> Float[np.ndarray, "setting unit"]:
        """Normalised scores, sampled actions.

        Args:
            tried: settings of objectives, by id.
            units: which of the comparison's.
        """
        which = f"unit {units.start + 1}" if len(units) == 1 else f"units {units.start + 1} to {units.stop}"
        self._reporter.note(f"Tuning: {len(tried)} {'setting' if len(tried) == 1 else 'settings'} on {which}")
        return np.asarray(self.compare(tried, units).sampled, float)

    def compare(self, tried: list[tuple[str, Setting]], units: range) -> ComparisonReturns:
        """All that a comparison tells of these settings, as normalised scores."""
        first = self._settings.first_unit + units.start
        settings = dataclasses.replace(self._settings, first_unit=first, units=len(units))
        candidates = [
            Candidate(make_objective(id, **one.values), one.sft_epochs, one.learning_rate) for id, one in tried
        ]
        return self._testbed.compare(candidates, settings, self._reporter, units_of=self._kept.get)


class KeptUnits:
    """Data of batches of units, by their first unit and number: the last ones, always one batch."""

    def __init__(self, most: int):
        self._most, self._made = most, dict[tuple[int, int], Units]()

    @property
    def held(self) -> int:
        """How many units there are data of."""
        return sum(count for _, count in self._made)

    def get(self, first: int, count: int, make: Callable[[], Units]) -> Units:
        """A batch; made anew, and those of longest ago dropped, where it is not there."""
        found = self._made.pop((first, count), None)
        if found is None:
            while self._made and self.held + count > self._most:
                del self._made[next(iter(self._made))]
            found = make()
        self._made[first, count] = found
        return found
