"""Settings scored on tuning units, a range of units at a time; a unit's data are made once where they fit in memory."""

import dataclasses
from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from mpo_core.evaluation.comparison import Candidate, Comparison, ComparisonReturns, ComparisonSettings, unit_bytes
from mpo_core.evaluation.meta_objective import Units
from mpo_core.losses.catalogue import make_objective
from mpo_core.memory import MAX_UNIT_BYTES
from mpo_experiments.progress import Reporter
from mpo_experiments.testbed import Testbed
from mpo_experiments.tuning.setting_search import Setting


class SettingScores:
    """Scores settings on units of a comparison; holds what it compiled, and the units' data where they are small."""

    def __init__(self, testbed: Testbed, settings: ComparisonSettings, reporter: Reporter):
        self._testbed, self._settings, self._reporter = testbed, settings, reporter
        whole = settings.units * unit_bytes(testbed.task, settings.rows)
        self._made: dict[tuple[int, int], Units] | None = {} if whole <= MAX_UNIT_BYTES else None
        self._programs: dict[tuple[int, float], Comparison] = {}

    def __call__(self, tried: list[tuple[str, Setting]], units: range) -> Float[np.ndarray, "setting unit"]:
        """Normalised scores, sampled actions.

        Args:
            tried: settings of objectives, by id.
            units: which of the comparison's.
        """
        return np.asarray(self.compare(tried, units).sampled, float)

    def compare(self, tried: list[tuple[str, Setting]], units: range) -> ComparisonReturns:
        """All that a comparison tells of these settings, as normalised scores."""
        first = self._settings.first_unit + units.start
        settings = dataclasses.replace(self._settings, first_unit=first, units=len(units))
        candidates = [
            (Candidate(make_objective(id, **one.values), one.sft_epochs), one.learning_rate) for id, one in tried
        ]
        return self._testbed.compare_at_rates(candidates, settings, self._reporter, program=self._program)

    def _program(self, settings: ComparisonSettings) -> Comparison:
        """A comparison; those on as many units at one learning rate share what is compiled."""
        name = settings.units, settings.inner.learning_rate
        if name not in self._programs:
            own = self._testbed.program, self._testbed.agents, settings
            self._programs[name] = Comparison(*own) if self._made is None else _KeptUnits(*own, self._made)
        return self._programs[name].from_unit(settings.first_unit)


class _KeptUnits(Comparison):
    """A comparison that takes the data of units from those that others made before."""

    def __init__(self, program, agents, settings: ComparisonSettings, made: dict[tuple[int, int], Units]):
        super().__init__(program, agents, settings)
        self._made = made

    def make_units(self, batch: range, advance: Callable[[str, int], None] = lambda what, jobs: None) -> Units:
        """As of any comparison."""
        place = self._settings.first_unit + batch.start, len(batch)
        if place not in self._made:
            self._made[place] = super().make_units(batch, advance)
        return self._made[place]
