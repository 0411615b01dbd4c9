"""The formula of an objective: its card's, the maps of a learned one, or what its program comes to."""

from typing import Any

import jax
import numpy as np

from adapters.expressions.traced import traced_formula
from mpo_core.formula.expression import Formula
from mpo_core.formula.quantities import with_settings
from mpo_core.losses.ids import OWN_IDS
from mpo_core.losses.named_loss import NamedLoss
from mpo_core.mirror.formula import formula_of_mirror
from mpo_core.mirror.mirror_objective import MirrorObjective
from mpo_core.objective.interface import AbstractObjective


def formula_of(objective: AbstractObjective, loss: NamedLoss | None) -> Formula:
    """The loss of a row.

    Args:
        objective: in double precision.
        loss: what it is in the catalogue; None for one that lies in a file.

    Raises:
        ValueError: one sentence: nobody has written it as a formula, and it is no function of each row by itself.
    """
    with jax.enable_x64(True):
        if isinstance(objective, MirrorObjective):
            try:
                return formula_of_mirror(objective)
            except NotImplementedError:  # a map of somebody else's
                return traced_formula(objective)
        if loss is None or loss.id not in OWN_IDS:  # what a plug-in says of its loss is for people
            return traced_formula(objective)
        return with_settings(loss.entry.formula, settings_of(loss, objective))


def settings_of(loss: NamedLoss, objective: AbstractObjective) -> dict[str, float | str | None]:
    """The settings of a loss as it is: numbers, words, and None where one is left open."""
    return {name: _plain(getattr(objective, name)) for name in loss.entry.settings}


def _plain(value: Any) -> float | str | None:
    return value if value is None or isinstance(value, str) else float(np.asarray(value))
