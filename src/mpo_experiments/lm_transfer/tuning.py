"""The settings that an objective is tuned over in a transfer experiment: its published ranges and the learning rate."""

import numpy as np

from mpo_core.seeds import Stream
from mpo_experiments.lm_transfer.settings import LEARNING_RATE as DEFAULT_RATE
from mpo_experiments.objectives.named import NamedObjective
from mpo_experiments.tuning.ranges import SettingRange, published_values, ranges_with_default
from mpo_experiments.tuning.setting_search import LEARNING_RATE, SFT_EPOCHS, ObjectiveSearch, Setting, rate_range


def objective_search(objective: NamedObjective, *, tokens: float, epochs: int, seed: int) -> ObjectiveSearch:
    """The search of an objective before its first round; its draws depend on its name and the seed alone.

    An objective whose settings were given, and a learned one, have the learning rate alone.

    Args:
        tokens: mean length of a text, to which ranges of sums are scaled as in the suite.
    """
    ranges = [*own_ranges(objective, tokens), rate_range(DEFAULT_RATE)]
    default = Setting({}, objective.sft_epochs(epochs))
    defaults = {LEARNING_RATE: DEFAULT_RATE, SFT_EPOCHS: float(default.sft_epochs)}
    if objective.loss is not None:
        defaults = published_values(objective.loss.id, ranges) | defaults
    generator = np.random.default_rng([seed, int(Stream.TUNING), *objective.text.encode()])
    return ObjectiveSearch(objective.text, default, defaults, ranges, generator)


def own_ranges(objective: NamedObjective, tokens: float) -> list[SettingRange]:
    """The ranges of an objective whose settings are left open."""
    loss = objective.loss
    return [] if loss is None or loss.settings else ranges_with_default(loss.entry, tokens)


def with_settings(objective: NamedObjective, setting: Setting) -> NamedObjective:
    """The objective with the values that are tried."""
    if objective.loss is None or not setting.values:
        return objective
    loss = objective.loss.with_settings(**setting.values)
    return NamedObjective(str(loss), loss)


def rate_of(setting: Setting) -> float:
    """The learning rate of a setting."""
    return setting.value(LEARNING_RATE, DEFAULT_RATE)
