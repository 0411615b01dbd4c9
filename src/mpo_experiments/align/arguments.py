"""Settings of `mpo align` as TRL and PEFT read them."""

import json
import os
from pathlib import Path
from typing import Any

from adapters.storage.files import read_text
from adapters.torch.language_models import ADAPTER_CARD, base_of, has_bfloat16
from adapters.torch.trl_run import new_adapter, trainer_settings
from adapters.torch.trl_settings import TrainerSettings
from mpo_experiments.align.settings import AlignSettings, LoraSettings

ORIGIN = "mpo_align.json"
"""Beside trained weights: what they were trained from."""
SETTINGS, MODEL, CHECKPOINTS = "align.json", "model", "checkpoints"


def training_arguments(settings: AlignSettings, checkpoints: Path, **more: Any) -> TrainerSettings:
    """What TRL's trainer is told."""
    given: dict[str, Any] = {
        "output_dir": str(checkpoints),
        "num_train_epochs": settings.epochs,
        "learning_rate": settings.learning_rate,
        "lr_scheduler_type": settings.schedule,
        "warmup_steps": settings.warmup,
        "weight_decay": settings.weight_decay,
        "max_grad_norm": settings.max_grad_norm,
        "per_device_train_batch_size": settings.micro_batch,
        "per_device_eval_batch_size": settings.micro_batch,
        "gradient_accumulation_steps": accumulation(settings),
        "max_length": settings.max_length,
        "precompute_ref_log_probs": settings.precompute_reference,
        "gradient_checkpointing": settings.gradient_checkpointing,
        "bf16": has_bfloat16(),
        "save_strategy": "steps",
        "save_steps": settings.save_every,
        "save_total_limit": 2,
        "logging_steps": settings.log_every,
        "seed": settings.seed,
    }
    return trainer_settings(given | more)


def accumulation(settings: AlignSettings) -> int:
    """Batches that a process computes one after the other for an update.

    Raises:
        ValueError: the batch does not divide among the processes.
    """
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    if settings.batch % (settings.micro_batch * processes):
        raise ValueError(
            f"batch ({settings.batch}) must be a multiple of micro_batch ({settings.micro_batch}) times the "
            f"{processes} processes"
        )
    return settings.batch // (settings.micro_batch * processes)


def lora_config(settings: LoraSettings) -> Any:
    """A new adapter, as PEFT has it."""
    targets = [name.strip() for name in settings.targets.split(",")]
    return new_adapter(
        rank=settings.rank,
        alpha=settings.alpha,
        dropout=settings.dropout,
        targets=settings.targets if settings.targets == "all-linear" else targets,
    )


def settle_adapter(settings: AlignSettings) -> AlignSettings:
    """Settings of a new run that say what is trained: of an adapter that is trained further, its own.

    Raises:
        ValueError: one sentence: settings of `lora` that were given and that the adapter does not have.
    """
    if base_of(settings.model) == settings.model:
        return settings
    asked = {name: getattr(settings.lora, name) for name in sorted(settings.lora.model_fields_set)}
    if asked.get("rank") == 0:
        raise ValueError(
            f"lora.rank=0 trains a whole model, and {settings.model} is an adapter: merge it into its model first, or "
            "leave lora.rank out to train it further"
        )
    own = _own_lora(settings.model)
    wrong = [name for name in asked if own is None or asked[name] != getattr(own, name)]
    if wrong:
        has = f"has {_shown(own, wrong)}" if own is not None else "is no LoRA adapter"
        raise ValueError(
            f"{_shown(settings.lora, wrong)}: model {settings.model} is an adapter that {has}, and one that is trained "
            "further keeps its own; leave these settings out"
        )
    return settings if own is None else settings.model_copy(update={"lora": own})


def trained_from(source: str) -> str | None:
    """The model that an adapter was trained from: as `mpo align` wrote it down, else the model that it was made for.

    Returns:
        None of what is no adapter.

    Raises:
        ValueError: one sentence: it was continued from an adapter that is no longer there.
    """
    base, folder = base_of(source), Path(source)
    if base == source:
        return None
    runs = [folder.parent] if folder.name == MODEL else []
    runs += [folder.parent.parent] if folder.parent.name == CHECKPOINTS else []
    for path in (folder / ORIGIN, *(run / SETTINGS for run in runs)):
        origin = _origin(path)
        if origin is not None and origin != base:
            if Path(origin).is_absolute() and not Path(origin).exists():
                raise ValueError(
                    f"model {source}: was trained from {origin}, which is not there; name what to compare with by "
                    "--reference"
                )
            return origin
    return base


def _origin(path: Path) -> str | None:
    try:
        found = json.loads(read_text(path, "settings of mpo align"))["settings"]["model"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return found if isinstance(found, str) else None


def _own_lora(source: str) -> LoraSettings | None:
    """What the card of an adapter says; None of one that is no LoRA."""
    try:
        card = json.loads(read_text(Path(source) / ADAPTER_CARD, "adapter card"))
        targets = card["target_modules"]
        return LoraSettings(
            rank=card["r"],
            alpha=card["lora_alpha"],
            dropout=card["lora_dropout"],
            targets=targets if isinstance(targets, str) else ",".join(sorted(targets)),
        )
    except (ValueError, KeyError, TypeError):
        return None


def _shown(settings: LoraSettings, names: list[str]) -> str:
    return ", ".join(f"lora.{name}={getattr(settings, name)}" for name in names)
