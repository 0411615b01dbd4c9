"""Objectives as torch losses, by what a user calls them."""

from adapters.torch.torch_loss import TorchLoss, torch_loss as compiled
from mpo_core.objective.interface import AbstractStatefulObjective
from mpo_experiments.objectives.export import exported_objective


def torch_loss(text: str) -> TorchLoss:
    """The loss of an objective given as `id`, `id:name=value,...`, an objective file or a run folder.

    Raises:
        ValueError: one sentence: no such objective, a file that cannot be read, or one that keeps a state between
            updates, which a trainer of language models does not carry.
    """
    objective, provenance = exported_objective(text)
    if isinstance(objective, AbstractStatefulObjective):
        raise ValueError(
            f"objective {text!r} keeps a state between updates, which a trainer of language models does not carry: "
            "choose one without (mpo list objectives shows all)"
        )
    return compiled(text, objective, provenance)
