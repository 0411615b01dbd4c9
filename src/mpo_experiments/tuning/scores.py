"""Settings scored on tuning units, a range of units at a time; a unit's data are made once where they fit in memory."""

import dataclasses
from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from mpo_core.evaluation.comparison import Candidate, Comparison, ComparisonSettings, unit_bytes
from mpo_core.evaluation.meta_objective import Units
from mpo_core.losses.catalogue import make_objective
from mpo_core.memory import MAX_UNIT_BYTES
from mpo_experiments.progress import Reporter
from mpo_experiments.testbed import Testbed, at_rate
from mpo_experiments.tuning.setting_search import Setting


class SettingScores:
    """Scores settings on units of a comparison; holds what it compiled, and the units' data where they are small."""

    def __init__(self, testbed: Testbed, settings: ComparisonSettings, reporter: Reporter):
        self._testbed, self._settings, self._reporter = testbed, settings, reporter
        whole = settings.units * unit_bytes(testbed.task, settings.rows)
        made: dict[tuple[int, int], Units] | None = {} if whole <= MAX_UNIT_BYTES else None
        self._comparisons = Comparisons(testbed, settings, made)

    def __call__(self, tried: list[tuple[str, Setting]], units: range) -> Float[np.ndarray, "setting unit"]:
        """Normalised scores, sampled actions.

        Args:
            tried: settings of objectives, by id.
            units: which of the comparison's.
        """
        scores = np.zeros((len(tried), len(units)))
        for rate in dict.fromkeys(setting.learning_rate for _, setting in tried):
            places = [place for place, (_, setting) in enumerate(tried) if setting.learning_rate == rate]
            candidates = [candidate_of(*tried[place]) for place in places]
            comparison, settings = self._comparisons.on(units, rate)
            found = self._testbed.compare(candidates, settings, self._reporter, comparison=comparison)
            scores[places] = found.sampled
        return scores


class Comparisons:
    """Comparisons on ranges of units and at learning rates: those on as many units share what is compiled."""

    def __init__(
        self, testbed: Testbed, settings: ComparisonSettings, made: dict[tuple[int, int], Units] | None = None
    ):
        self._testbed, self._settings, self._made = testbed, settings, made
        self._there: dict[tuple[int, float | None], Comparison] = {}

    def on(self, units: range, rate: float | None) -> tuple[Comparison, ComparisonSettings]:
        """A comparison on these units of the settings', and its own settings.

        Args:
            rate: of the inner loop; None: that of the settings.
        """
        first = self._settings.first_unit + units.start
        settings = dataclasses.replace(at_rate(self._settings, rate), first_unit=first, units=len(units))
        if (len(units), rate) not in self._there:
            own = self._testbed.program, self._testbed.agents, settings
            new = Comparison(*own) if self._made is None else _KeptUnits(*own, self._made)
            self._there[len(units), rate] = new
        return self._there[len(units), rate].from_unit(first), settings


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


def candidate_of(id: str, setting: Setting) -> Candidate:
    """What a comparison trains, at a learning rate of its own."""
    return Candidate(make_objective(id, **setting.values), setting.sft_epochs)
