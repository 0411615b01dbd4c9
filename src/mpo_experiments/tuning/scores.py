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
from mpo_core.settings import updates_of
from mpo_experiments.progress import PartClock, Reporter, parts_of
from mpo_experiments.testbed import Testbed
from mpo_experiments.tuning.setting_search import Tried

UPDATES_AT_ONCE = 200_000
"""Updates that may be lost where tuning is interrupted: minutes on two cores. A round of a quick cell makes fewer."""
KeepScores = Callable[[range, Float[np.ndarray, "setting unit"]], None]
"""Given which of the settings were scored now, and their scores."""


def nothing_kept(part: range, scores: Float[np.ndarray, "setting unit"]) -> None:
    """Scores that nobody keeps."""


class SettingScores:
    """Scores settings on units of a comparison; holds the data of the units it had last."""

    def __init__(self, testbed: Testbed, settings: ComparisonSettings, reporter: Reporter):
        self._testbed, self._settings, self._reporter = testbed, settings, reporter
        self._kept = KeptUnits(units_to_keep(unit_bytes(testbed.task, settings.rows)))

    def __call__(
        self, tried: Tried, units: range, keep: KeepScores = nothing_kept
    ) -> Float[np.ndarray, "setting unit"]:
        """Normalised scores, sampled actions.

        Args:
            units: which of the comparison's.
            keep: given the scores of some settings as soon as they are made.
        """
        which = f"unit {units.start + 1}" if len(units) == 1 else f"units {units.start + 1} to {units.stop}"
        clock, found = PartClock("settings", len(tried)), []
        for part in self._parts(len(tried), len(units)):
            several = f"{len(tried)} {'setting' if len(tried) == 1 else 'settings'}"
            self._reporter.note(f"Tuning: {several if len(part) == len(tried) else clock.told(part)} on {which}")
            found.append(np.asarray(self.compare(tried[part.start : part.stop], units).sampled, float))
            keep(part, found[-1])
        return np.concatenate(found)

    def _parts(self, settings: int, units: int) -> list[range]:
        """Settings that are scored together: no more than may be lost, but as many as devices train side by side; all
        of them where the data would have to be made again for each part."""
        if units > self._kept.most:
            return [range(settings)]
        a_setting = updates_of(units, self._settings.rows, self._settings.inner)
        side_by_side = -(-self._testbed.policies_at_once(self._settings) // units)
        size = max(UPDATES_AT_ONCE // a_setting, side_by_side, 1)
        return parts_of(settings, size)

    def compare(self, tried: Tried, units: range) -> ComparisonReturns:
        """All that a comparison tells of these settings, as normalised scores."""
        first = self._settings.first_unit + units.start
        settings = dataclasses.replace(self._settings, first_unit=first, units=len(units))
        candidates = [
            Candidate(make_objective(id, **one.values), one.sft_epochs, one.learning_rate) for id, one in tried
        ]
        return self._testbed.compare(candidates, settings, self._reporter, units_of=self._kept.get)


class KeptUnits:
    """Data of batches of units, by their first unit and number: the last ones, always one batch.

    Args:
        most: units, or the last batch where it has more.
    """

    def __init__(self, most: int):
        self.most, self._made = most, dict[tuple[int, int], Units]()

    @property
    def held(self) -> int:
        """How many units there are data of."""
        return sum(count for _, count in self._made)

    def get(self, first: int, count: int, make: Callable[[], Units]) -> Units:
        """A batch; made anew, and those of longest ago dropped, where it is not there."""
        found = self._made.pop((first, count), None)
        if found is None:
            while self._made and self.held + count > self.most:
                del self._made[next(iter(self._made))]
            found = make()
        self._made[first, count] = found
        return found
