"""Objectives as torch losses."""

from adapters.torch.torch_loss import TorchLoss, torch_loss as compiled
from mpo_core.objective.interface import AbstractStatefulObjective
from mpo_experiments.objectives.export import exported_objective
from mpo_experiments.objectives.named import NamedObjective


def torch_loss(named: NamedObjective) -> TorchLoss:
    """The loss of an objective.

    Raises:
        ValueError: one sentence: a file that cannot be read, or an objective that keeps a state between updates,
            which a trainer of language models does not carry.
    """
    objective, provenance = exported_objective(named)
    if isinstance(objective, AbstractStatefulObjective):
        raise ValueError(
            f"objective {named.text!r} keeps a state between updates, which a trainer of language models does not "
            "carry: choose one without (mpo list objectives shows all)"
        )
    return compiled(named.text, objective, provenance)
