"""What a user told TRL beside an objective of ours: settings that would not be honoured are refused."""

import copy
import dataclasses
import math
from typing import Any

from trl.trainer.dpo_config import DPOConfig

from adapters.torch.torch_loss import TorchLoss

TrainerSettings = DPOConfig
"""Settings of TRL's trainer."""
UNUSED = (
    "loss_type",
    "loss_weights",
    "ld_alpha",
    "f_divergence_type",
    "f_alpha_divergence_coef",
    "label_smoothing",
    "use_weighting",
    "discopop_tau",
)
"""Settings of `DPOConfig` that shape TRL's own losses: here the objective alone is the loss."""


def settled_arguments(args: DPOConfig | None, loss: TorchLoss) -> DPOConfig:
    """A copy of a trainer's settings that says what is done: the objective's beta, no reference where none is read.

    Raises:
        ValueError: one sentence: settings that shape TRL's losses, or that contradict the objective's own.
    """
    args = copy.copy(args) if args is not None else DPOConfig("ObjectiveTrainer")
    _check_same("beta", args.beta, loss, loss.beta)
    _check_same("discopop_tau", args.discopop_tau, loss, loss.temperature)
    told = {"discopop_tau"} if loss.temperature is not None else set()
    changed = [name for name in UNUSED if name not in told and getattr(args, name) != _default(name)]
    if changed:
        raise ValueError(
            f"{' and '.join(changed)} of DPOConfig: they shape TRL's own losses and are not used with objective "
            f"{loss.text!r}; leave them out, and write settings into the objective, as in dpo:beta=0.05"
        )
    args.beta = args.beta if loss.beta is None else loss.beta
    if not loss.needs_reference:
        args.precompute_ref_log_probs = False
        args.sync_ref_model = False
    return args


def check_adapter(model: Any) -> None:
    """Refuses a `PeftModel` that the trainer would not train as it stands.

    Raises:
        ValueError: one sentence.
    """
    names = list(model.peft_config)
    if "default" not in names:
        raise ValueError(f"the PeftModel's adapter is named {names[0]!r}: the trainer trains the one named 'default'")
    if not any(one.requires_grad for one in model.parameters()):
        raise ValueError("the PeftModel has no weights to train: load it with is_trainable=True")


def _default(name: str) -> Any:
    """Of a setting of `DPOConfig`; at another value it was given."""
    (field,) = (one for one in dataclasses.fields(DPOConfig) if one.name == name)
    return field.default if field.default_factory is dataclasses.MISSING else field.default_factory()


def _check_same(name: str, given: float, loss: TorchLoss, own: float | None) -> None:
    if own is not None and given != _default(name) and not math.isclose(given, own, rel_tol=1e-6):
        raise ValueError(
            f"{name}={given:g} of DPOConfig contradicts the objective {loss.text!r}, which has {own:g}: leave it out, "
            "and write the setting into the objective"
        )
