"""The settings that an objective is tuned over in a transfer experiment: its published ranges and the learning rate."""

import math

import numpy as np

from mpo_core.losses.catalogue import make_objective
from mpo_core.losses.named_loss import NamedLoss
from mpo_core.seeds import Stream
from mpo_experiments.lm_transfer.settings import LEARNING_RATE as DEFAULT_RATE
from mpo_experiments.objectives.named import NamedObjective
from mpo_experiments.tuning.ranges import SettingRange, ranges_with_default
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
    if objective.loss is not None and not objective.loss.settings:
        made = make_objective(objective.loss.entry.id)
        values = {one.name: getattr(made, one.name, None) for one in ranges if one.name not in defaults}
        defaults |= {name: math.nan if value is None else float(value) for name, value in values.items()}
    generator = np.random.default_rng([seed, int(Stream.TUNING), *objective.text.encode()])
    return ObjectiveSearch(objective.text, default, defaults, ranges, generator)


def own_ranges(objective: NamedObjective, tokens: float) -> list[SettingRange]:
    """The ranges of an objective whose settings are left open."""
    loss = objective.loss
    return [] if loss is None or loss.settings else ranges_with_default(loss.entry, tokens)


def with_settings(objective: NamedObjective, setting: Setting) -> NamedObjective:
    """The objective with the values that are tried."""
    if not setting.values:
        return objective
    values = tuple((name, value) for name, value in setting.values.items())
    text = f"{objective}:{','.join(f'{name}={value:g}' for name, value in values)}"
    return NamedObjective(text, NamedLoss(objective.text, values))


def rate_of(setting: Setting) -> float:
    """The learning rate of a setting."""
    return setting.value(LEARNING_RATE, DEFAULT_RATE)
