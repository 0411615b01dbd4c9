"""The candidates that an objective is tuned over in a transfer experiment."""

import dataclasses

import numpy as np

from mpo_core.losses.named_loss import NamedLoss
from mpo_core.seeds import Stream
from mpo_experiments.lm_transfer.settings import LEARNING_RATES
from mpo_experiments.objectives.named import NamedObjective
from mpo_experiments.tuning.ranges import SettingRange, published_ranges


@dataclasses.dataclass(frozen=True)
class Candidate:
    """One way to train with an objective."""

    objective: NamedObjective
    learning_rate: float

    @property
    def settings(self) -> dict[str, float]:
        """The objective's own, where they were set, and the learning rate."""
        given = () if self.objective.loss is None else self.objective.loss.settings
        numbers = {name: value for name, value in given if isinstance(value, float)}
        return numbers | {"learning_rate": self.learning_rate}


def candidates(objective: NamedObjective, budget: int, tokens: float, *, seed: int) -> list[Candidate]:
    """As it stands with each learning rate, then settings drawn from its published ranges with each in turn.

    An objective without ranges, one whose settings were given, and a learned one have the learning rates alone.

    Args:
        tokens: mean length of a review in tokens, to which ranges are scaled as in the suite.
    """
    found = [Candidate(objective, rate) for rate in LEARNING_RATES[:budget]]
    ranges = searched(objective, tokens)
    generator = np.random.default_rng([seed, int(Stream.TUNING), *objective.text.encode()])
    while ranges and len(found) < budget:
        drawn = {range_.name: f"{range_.draw(generator):.4g}" for range_ in ranges}
        text = f"{objective}:{','.join(f'{name}={value}' for name, value in drawn.items())}"
        loss = NamedLoss(objective.text, tuple((name, float(value)) for name, value in drawn.items()))
        found.append(Candidate(NamedObjective(text, loss), LEARNING_RATES[len(found) % len(LEARNING_RATES)]))
    return found


def searched(objective: NamedObjective, tokens: float) -> list[SettingRange]:
    """The published ranges of an objective whose settings are left open, scaled to responses of so many tokens."""
    loss = objective.loss
    return [] if loss is None or loss.settings else published_ranges(loss.entry, tokens)
