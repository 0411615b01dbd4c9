"""What a closed form is worth beside the objective that it was distilled from: both train on the same fresh units."""

import dataclasses

import numpy as np
from jaxtyping import Float

from mpo_core.evaluation.candidates import Candidate
from mpo_core.evaluation.statistics import Interval, mean_interval, paired_difference
from mpo_core.losses.catalogue import catalogue_entry, make_objective
from mpo_core.mirror.mirror_objective import MirrorObjective
from mpo_core.seeds import Stream
from mpo_experiments.distill.samples import UNITS_OF_THE_FIT
from mpo_experiments.progress import Reporter
from mpo_experiments.scale import SCALE, UNIT
from mpo_experiments.settings.run_config import CellConfig
from mpo_experiments.testbed import Testbed, comparison_settings
from mpo_experiments.text_table import TextTable

SFT = "sft"
NAMES = ("original", "distilled", SFT)
REPEATS = 10_000


@dataclasses.dataclass(frozen=True)
class DistillScore:
    """Normalised scores, sampled actions, of each of `NAMES` on each unit."""

    scores: Float[np.ndarray, "name unit"]
    conditions: str
    """Task, data and seeds in a few words."""

    @property
    def difference(self) -> Interval:
        """Distilled minus original, paired by unit."""
        return paired_difference(self.scores[1], self.scores[0])

    @property
    def gain(self) -> Interval:
        """Original minus SFT, paired by unit."""
        return paired_difference(self.scores[0], self.scores[2])

    @property
    def share(self) -> Interval | None:
        """The difference as a share of the gain: percentile bootstrap of the ratio of means over units; None where
        the gain's interval reaches down to 0, so that there is nothing to take a share of."""
        if not self.gain.low > 0:
            return None
        lost, gained = self.scores[1] - self.scores[0], self.scores[0] - self.scores[2]
        index = np.random.default_rng(0).integers(len(lost), size=(REPEATS, len(lost)))
        drawn = lost[index].mean(1) / gained[index].mean(1)
        low, high = np.quantile(drawn, [0.025, 0.975])
        return Interval(float(lost.mean() / gained.mean()), float(low), float(high), len(lost))

    def table(self) -> TextTable:
        """The three rows."""
        rows = tuple((name, str(mean_interval(one))) for name, one in zip(NAMES, self.scores, strict=True))
        caption = f"{self.conditions}; {SCALE}; mean over units with 95 % t interval; {UNIT}"
        return TextTable(
            f"Normalised score on {self.scores.shape[1]} fresh units", ("objective", "score"), rows, caption
        )

    def lines(self) -> list[str]:
        """The differences, a line each."""
        found = [f"distilled - original  {self.difference}", f"original - sft        {self.gain}"]
        if self.share is None:
            return [*found, "no share of the gain: the original's gain over sft is not above 0 on these units"]
        one = self.share
        shown = f"{one.estimate:+.1%} [{one.low:+.1%}, {one.high:+.1%}]"
        return [*found, f"difference as a share of that gain  {shown}  (95 % bootstrap over units)"]


def score(
    testbed: Testbed,
    config: CellConfig,
    objectives: tuple[MirrorObjective, MirrorObjective],
    sft_epochs: int,
    comparison: tuple[Stream, int],
    reporter: Reporter,
) -> DistillScore:
    """Trains the original, its closed form and SFT on fresh units.

    Args:
        sft_epochs: before the original, hence before its closed form.
        comparison: the stream of seeds, and how many units.
    """
    stream, units = comparison
    settings = comparison_settings(config, stream, units, mode_actions=False)
    first = UNITS_OF_THE_FIT if stream is Stream.SELECTION else 0  # those before were fitted on, or measured on
    sft = Candidate(make_objective(SFT), catalogue_entry(SFT).sft_epochs_of(config.inner.epochs))
    candidates = [*(Candidate(one, sft_epochs) for one in objectives), sft]
    returns = testbed.compare(candidates, dataclasses.replace(settings, first_unit=first), reporter)
    told = f"{config.task}, {config.data}, {stream.name.lower()} seeds of {config.seed}"
    return DistillScore(returns.sampled, told)
