"""Objectives by their texts, for tests that name many."""

from adapters.torch.torch_loss import TorchLoss
from mpo_core.losses.named_loss import parse_loss
from mpo_experiments.objectives import export as exporting, learned
from mpo_experiments.objectives.named import parse_objective


def canonical_text(text):
    return str(parse_loss(text).spelled_out())


def learned_start(text, *given, **options):
    return learned.learned_start(parse_objective(str(text)), *given, **options)


def load_objective(text):
    return parse_objective(str(text)).load()


def sft_epochs_of(text, total):
    return parse_objective(str(text)).sft_epochs(total)


def is_path(text):
    try:
        return parse_objective(text).is_saved
    except ValueError:
        return False


def export(text, form):
    return exporting.export(parse_objective(str(text)), form)


def torch_loss(text) -> TorchLoss:
    from mpo_experiments.align.loss import torch_loss

    return torch_loss(parse_objective(str(text)))
