"""What a training run needs of torch, transformers and PEFT beside the trainer; their quirks in one place."""

import logging
import warnings
from collections.abc import Callable
from typing import Any

import datasets
import huggingface_hub
import numpy as np
import torch
import transformers
from jaxtyping import Float
from peft import LoraConfig, PeftModel
from transformers.trainer_callback import PrinterCallback

from adapters.torch.language_models import load_model
from adapters.torch.trl_settings import TrainerSettings
from adapters.torch.trl_trainer import LossTrainer, without_dropout

OutOfMemory = torch.OutOfMemoryError
ADAPTERS_OWN = "lora_dropout"
"""In the names of the dropouts that an adapter brings."""
"""A device has too little memory."""
Sums = Float[np.ndarray, " row"]


def device_name() -> str:
    """Of the GPU, or cpu."""
    return torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"


def quiet() -> None:
    """Switches off bars and notices of the libraries: the display shows what matters."""
    datasets.disable_progress_bars()
    datasets.utils.logging.set_verbosity_error()
    huggingface_hub.utils.logging.set_verbosity(logging.CRITICAL)  # it would tell of every attempt to connect
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    warnings.filterwarnings("ignore", category=FutureWarning, module="transformers|trl|peft")
    warnings.filterwarnings("ignore", message=".*pin_memory.*")
    warnings.filterwarnings("ignore", message=".*compares the rows of a batch.*")  # it is in the notes of a run


def trainer_settings(given: dict[str, Any]) -> TrainerSettings:
    """Settings of TRL's trainer, by its own names.

    Dropout of the model is left to `model_to_train`: TRL would switch off the adapter's, too.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        return TrainerSettings(**{"disable_dropout": False, "disable_tqdm": True, "report_to": "none"} | given)


def new_adapter(*, rank: int, alpha: int | float, dropout: float, targets: str | list[str]) -> LoraConfig:
    """A LoRA adapter that is to be made."""
    return LoraConfig(
        r=rank,
        lora_alpha=alpha,  # pyright: ignore[reportArgumentType]
        lora_dropout=dropout,
        target_modules=targets,
        task_type="CAUSAL_LM",
    )


def model_to_train(source: str, *, adapted: bool, seed: int) -> tuple[Any, bool]:
    """A model without dropout but an adapter's, and whether it has an adapter already; sets all seeds first.

    Args:
        adapted: whether an adapter is trained, not the model.

    Raises:
        WorkFailed: its weights are missing or do not fit.
    """
    transformers.set_seed(seed)
    model = load_model(source, trained=True, low_precision=adapted)
    has_adapter = isinstance(model, PeftModel)
    without_dropout(model, lambda name: ADAPTERS_OWN not in name)
    return model, has_adapter


def without_printing(trainer: LossTrainer) -> LossTrainer:
    """The trainer, less the callback that prints every log."""
    trainer.remove_callback(PrinterCallback)
    return trainer


def summed_log_probs(trainer: LossTrainer, model: Any, advance: Callable[[int], None]) -> tuple[Sums, Sums, Sums, Sums]:
    """Log-probs (nats) of the trainer's pairs under a model, and how many tokens they are sums of.

    Returns:
        Log-probs of chosen and rejected, tokens of chosen and rejected; a row a pair, in order.
    """
    found: list[list[Any]] = []
    loader = trainer.get_eval_dataloader(trainer.train_dataset)  # pyright: ignore[reportArgumentType]
    model.to(trainer.accelerator.device).eval()
    for batch in loader:
        lengths = batch["completion_mask"][..., 1:].sum(dim=1).clamp(min=1).chunk(2)
        sums = trainer.compute_ref_log_probs(model, batch)
        found.append([one.float().cpu() for one in (*sums, *lengths)])
        advance(len(lengths[0]))
    chosen, rejected, *tokens = (torch.cat(one).double().numpy() for one in zip(*found, strict=True))
    return chosen, rejected, tokens[0], tokens[1]
