"""`mpo align`: a language model trained on preference pairs with an objective; its folder, checkpoints and resumption.

OUT/align.json      settings and provenance
OUT/metrics.jsonl   what TRL logs, a line a time
OUT/checkpoints/    of the trainer, the last two
OUT/model/          the trained model or adapter with its tokenizer
OUT/result.json     updates, and the last scores on held-out pairs
"""

import dataclasses
import importlib.metadata
import json
import logging
import os
import platform
import warnings
from pathlib import Path
from typing import Any

import datasets
import huggingface_hub
import torch
import transformers
from peft import LoraConfig, PeftModel
from transformers.trainer_callback import PrinterCallback
from trl.trainer.dpo_config import DPOConfig
from trl.trainer.utils import disable_dropout_in_model

from adapters.storage.files import read_json, write_json
from adapters.torch.language_models import check_model, has_bfloat16, load_model, load_tokenizer, set_chat_template
from adapters.torch.preference_text import is_talk, load_pairs
from adapters.torch.torch_loss import TorchLoss
from mpo_core.failures import WorkFailed
from mpo_experiments.align.callback import ReporterCallback
from mpo_experiments.align.loss import torch_loss
from mpo_experiments.align.settings import AlignSettings, LoraSettings, build_settings
from mpo_experiments.align.trainer import ObjectiveTrainer
from mpo_experiments.progress import Reporter

SETTINGS, METRICS, CHECKPOINTS, MODEL, RESULT = (
    "align.json",
    "metrics.jsonl",
    "checkpoints",
    "model",
    "result.json",
)
PACKAGES = ("mirror-po", "jax", "torch", "trl", "transformers", "peft", "datasets")


@dataclasses.dataclass(frozen=True)
class Prepared:
    """A run whose every part has been read, but for the weights."""

    settings: AlignSettings
    loss: TorchLoss
    tokenizer: Any
    pairs: datasets.Dataset
    held_out: datasets.Dataset | None


def prepare(settings: AlignSettings) -> Prepared:
    """Reads what can be read without the weights.

    Raises:
        ValueError: one sentence: an objective, model or data set that cannot be used, or not together.
    """
    loss = torch_loss(settings.loss)
    _accumulation(settings)
    check_model(settings.model)
    tokenizer = load_tokenizer(settings.model)
    pairs = load_pairs(settings.dataset, settings.split)
    held_out = None if settings.eval_dataset is None else load_pairs(settings.eval_dataset, settings.eval_split)
    for rows in [pairs] if held_out is None else [pairs, held_out]:
        if loss.needs_margin and "margin" not in rows.column_names:
            raise ValueError(
                f"objective {loss.text!r} reads margins of reward: the data need a column 'margin', chosen minus "
                "rejected reward in standard deviations"
            )
    if is_talk(pairs[0]["chosen"]):
        set_chat_template(tokenizer, settings.chat_template, settings.model)
    return Prepared(settings, loss, tokenizer, pairs, held_out)


def start_run(folder: Path, run: Prepared) -> None:
    """Makes the folder of a run and writes what it is made from.

    Raises:
        ValueError: it holds a run already.
    """
    if not _first_process():
        return
    if (folder / SETTINGS).exists():
        raise ValueError(f"--out {folder}: holds a run already; continue it with --resume {folder}, or name another")
    provenance = {
        "versions": {name: importlib.metadata.version(name) for name in PACKAGES}
        | {"python": platform.python_version()},
        "objective": run.loss.provenance,
        "pairs": len(run.pairs),
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
    }
    write_json(folder / SETTINGS, {"settings": run.settings.model_dump(), "provenance": provenance})


def read_run(folder: Path) -> AlignSettings:
    """The settings of a run that was begun.

    Raises:
        ValueError: one sentence: the folder holds none, or one that this mpo cannot read.
    """
    path = folder / SETTINGS
    try:
        return build_settings(read_json(path, "settings of mpo align")["settings"])
    except (KeyError, TypeError):
        raise ValueError(f"settings of mpo align {path}: are not what mpo align writes") from None


def finished(folder: Path) -> dict[str, Any] | None:
    """The result of a run that is over; None of one that is not."""
    path = folder / RESULT
    return read_json(path, "result of mpo align") if path.exists() else None


def train(run: Prepared, folder: Path, reporter: Reporter) -> dict[str, Any]:
    """Trains, from the last whole checkpoint if there is one, and writes the model.

    Returns:
        What is in result.json: updates, and the metrics on held-out pairs after the last epoch.

    Raises:
        WorkFailed: weights that cannot be loaded, or a device without enough memory.
    """
    checkpoint = last_checkpoint(folder / CHECKPOINTS)
    try:
        trainer = _made(run, folder, reporter)
        trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
    except torch.OutOfMemoryError:
        raise WorkFailed(
            "the device is out of memory: lower micro_batch or max_length, set gradient_checkpointing=true, or train "
            f"an adapter (lora.rank), with --set; the run in {folder} cannot go on with the settings it has"
        ) from None
    trainer.save_model(str(folder / MODEL))
    scores = [line for line in trainer.state.log_history if "eval_loss" in line]
    result = {"updates": trainer.state.global_step, "held_out": scores[-1] if scores else None}
    if _first_process():
        write_json(folder / RESULT, result)
    return result


def last_checkpoint(folder: Path) -> Path | None:
    """The newest checkpoint that was written to its end: the trainer's state is the last file of one."""
    whole = [path.parent for path in folder.glob("checkpoint-*/trainer_state.json") if _is_json(path)]
    return max(whole, key=lambda path: int(path.name.rpartition("-")[2]), default=None)


def quiet() -> None:
    """Switches off bars and notices of the libraries: the display shows what matters."""
    datasets.disable_progress_bars()
    datasets.utils.logging.set_verbosity_error()
    huggingface_hub.utils.logging.set_verbosity(logging.CRITICAL)  # it would tell of every attempt to connect
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    warnings.filterwarnings("ignore", category=FutureWarning, module="transformers|trl|peft")
    warnings.filterwarnings("ignore", message=".*pin_memory.*")


def training_arguments(settings: AlignSettings, folder: Path, **more: Any) -> DPOConfig:
    """What TRL's trainer is told."""
    given: dict[str, Any] = {
        "output_dir": str(folder / CHECKPOINTS),
        "num_train_epochs": settings.epochs,
        "learning_rate": settings.learning_rate,
        "lr_scheduler_type": settings.schedule,
        "warmup_steps": settings.warmup,
        "weight_decay": settings.weight_decay,
        "max_grad_norm": settings.max_grad_norm,
        "per_device_train_batch_size": settings.micro_batch,
        "per_device_eval_batch_size": settings.micro_batch,
        "gradient_accumulation_steps": _accumulation(settings),
        "max_length": settings.max_length,
        "precompute_ref_log_probs": settings.precompute_reference,
        "gradient_checkpointing": settings.gradient_checkpointing,
        "bf16": has_bfloat16(),
        "save_strategy": "steps",
        "save_steps": settings.save_every,
        "save_total_limit": 2,
        "logging_steps": settings.log_every,
        "seed": settings.seed,
        "disable_dropout": False,  # it would switch off the adapter's own; the model's is switched off before
        "disable_tqdm": True,
        "report_to": "none",
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        return DPOConfig(**given | more)


def _made(run: Prepared, folder: Path, reporter: Reporter) -> ObjectiveTrainer:
    """The trainer; what TRL or PEFT refuse, such as layers that the model does not have, in a sentence."""
    try:
        return _trainer(run, folder, reporter)
    except (ValueError, NotImplementedError) as error:
        said = " ".join(str(error).split()).rstrip(".")
        raise WorkFailed(f"training cannot be set up with the settings in {folder / SETTINGS}: {said[:400]}") from None


def _trainer(run: Prepared, folder: Path, reporter: Reporter) -> ObjectiveTrainer:
    settings = run.settings
    adapted = settings.lora.rank > 0
    transformers.set_seed(settings.seed)
    model = load_model(settings.model, trained=True, low_precision=adapted)
    disable_dropout_in_model(model.get_base_model() if isinstance(model, PeftModel) else model)
    new = adapted and not isinstance(model, PeftModel)
    trainer = ObjectiveTrainer(
        model,
        args=training_arguments(settings, folder),
        objective=settings.loss,
        train_dataset=run.pairs,
        eval_dataset=run.held_out,
        processing_class=run.tokenizer,
        peft_config=_lora(settings.lora) if new else None,
        callbacks=[ReporterCallback(reporter, folder / METRICS), _Borders(run.held_out is not None)],
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def _lora(settings: LoraSettings) -> LoraConfig:
    targets = [name.strip() for name in settings.targets.split(",")]
    return LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,  # pyright: ignore[reportArgumentType]
        lora_dropout=settings.dropout,
        target_modules=settings.targets if settings.targets == "all-linear" else targets,
        task_type="CAUSAL_LM",
    )


def _accumulation(settings: AlignSettings) -> int:
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    if settings.batch % (settings.micro_batch * processes):
        raise ValueError(
            f"batch ({settings.batch}) must be a multiple of micro_batch ({settings.micro_batch}) times the "
            f"{processes} processes"
        )
    return settings.batch // (settings.micro_batch * processes)


def _first_process() -> bool:
    return os.environ.get("RANK", "0") == "0"


def _is_json(path: Path) -> bool:
    try:
        return bool(json.loads(path.read_text()))
    except (OSError, ValueError):
        return False


class _Borders(transformers.TrainerCallback):
    """What is done where an epoch or the run ends, such that a resumed run ends at the same weights.

    Held-out pairs are scored in the last update of an epoch, before its checkpoint is written. The trainer's own way
    comes after it: a run that goes on from there would lack the scores, and the random numbers that scoring used.
    After the last update there is no checkpoint, for the model itself is written: the trainer, resumed from there,
    would make one update more where the last epoch is not whole.
    """

    def __init__(self, scored: bool):
        self._scored = scored

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """After the trainer's own choice."""
        last = state.global_step >= state.max_steps
        if self._scored and (last or state.epoch.is_integer()):
            control.should_evaluate = True
        if last:
            control.should_save = False
