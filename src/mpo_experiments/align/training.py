"""`mpo align`: a language model trained on preference pairs with an objective; its folder, checkpoints and resumption.

OUT/align.json      settings and provenance
OUT/metrics.jsonl   what TRL logs, a line a time
OUT/checkpoints/    of the trainer, the last two
OUT/model/          the trained model or adapter with its tokenizer
OUT/result.json     updates, and the last scores on held-out pairs
"""

import contextlib
import dataclasses
import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

from adapters.storage.files import read_json, write_json
from adapters.torch.language_models import (
    TokenEncoder,
    check_model,
    load_tokenizer,
    set_chat_template,
    trained_weights_are_finite,
)
from adapters.torch.torch_loss import TorchLoss
from adapters.torch.trl_callbacks import EpochBorders, ProgressCallback
from adapters.torch.trl_run import (
    OutOfMemory,
    device_name,
    model_to_train,
    without_printing,
)
from mpo_core.failures import WorkFailed
from mpo_experiments.align.arguments import (
    CHECKPOINTS,
    MODEL,
    ORIGIN,
    SETTINGS,
    accumulation,
    lora_config,
    training_arguments,
)
from mpo_experiments.align.conversations import template_words
from mpo_experiments.align.loss import torch_loss
from mpo_experiments.align.pairs import PairRule, Pairs, holds_talk, load_pair_rows, read_pairs
from mpo_experiments.align.preference_rows import RowRule
from mpo_experiments.align.settings import AlignSettings, build_settings
from mpo_experiments.align.token_rows import TokenRule
from mpo_experiments.align.trainer import ObjectiveTrainer, micro_batch_note
from mpo_experiments.align.watcher import watcher
from mpo_experiments.objectives.export import where_it_bends
from mpo_experiments.progress import Reporter
from mpo_experiments.versions import ALIGNMENT, versions

METRICS, RESULT = "metrics.jsonl", "result.json"
EARLIER = {"max_left_out": 1.0, "scored": "all"}
"""What runs did before there were these settings."""


@dataclasses.dataclass(frozen=True)
class Prepared:
    """A run whose every part has been read, but for the weights."""

    settings: AlignSettings
    loss: TorchLoss
    tokenizer: Any
    pairs: Pairs
    held_out: Pairs | None

    def notes(self) -> list[str]:
        """What a user should know before it begins."""
        several = [self.pairs] if self.held_out is None else [self.pairs, self.held_out]
        rest = (
            micro_batch_note(self.loss, self.settings.batch // self.settings.micro_batch),
            where_it_bends(self.settings.loss),
        )
        return [note for pairs in several for note in pairs.notes()] + [note for note in rest if note is not None]

    def origin(self) -> dict[str, Any]:
        """What a run is made from besides its settings: the objective, and by their hash the texts of all pairs and of
        the chat template."""
        several = [self.pairs] if self.held_out is None else [self.pairs, self.held_out]
        texts = hashlib.sha256(repr(self.tokenizer.chat_template).encode())
        for row in (row for pairs in several for row in pairs.rows):
            texts.update(repr(row).encode())
        return {"objective": self.loss.provenance, "texts_sha256": texts.hexdigest()}

    def counts(self) -> dict[str, Any]:
        """How many pairs the data have, and what became of them."""
        held_out = None if self.held_out is None else dataclasses.asdict(self.held_out.counts)
        return {"train": dataclasses.asdict(self.pairs.counts), "held_out": held_out}


def prepare(settings: AlignSettings) -> Prepared:
    """Reads what can be read without the weights.

    Raises:
        ValueError: one sentence: an objective, model or data set that cannot be used, or not together.
    """
    loss = torch_loss(settings.loss)
    accumulation(settings)
    check_model(settings.model)
    tokenizer = load_tokenizer(settings.model)
    data = [load_pair_rows(settings.dataset, settings.split)]
    if settings.eval_dataset is not None:
        data.append(load_pair_rows(settings.eval_dataset, settings.eval_split))
    for rows in data:
        if loss.needs_margin and "margin" not in rows.columns:
            raise ValueError(
                f"objective {loss.text!r} reads margins of reward: {rows.where} needs a column 'margin', chosen minus "
                "rejected reward in standard deviations"
            )
    if any(holds_talk(rows) for rows in data):
        set_chat_template(tokenizer, settings.chat_template, settings.model)
    rule = PairRule(
        RowRule(loss.needs_margin, template_words(tokenizer.chat_template)),
        TokenRule(settings.max_length, scored=settings.scored),
        settings.max_left_out,
    )
    pairs, *held_out = [read_pairs(rows, rows.where, TokenEncoder(tokenizer), rule) for rows in data]
    return Prepared(settings, loss, tokenizer, pairs, held_out[0] if held_out else None)


def check_resumed(folder: Path, run: Prepared) -> None:
    """Refuses to go on with other pairs, or another objective, than a run began with.

    Raises:
        ValueError: one sentence: which of them changed.
    """
    began = read_json(folder / SETTINGS, "settings of mpo align").get("provenance", {})
    for name, now in run.origin().items():
        if name in began and began[name] != json.loads(json.dumps(now)):
            what = {"texts_sha256": "the pairs, or the chat template, are"}.get(name, f"the {name} is")
            raise ValueError(f"--resume {folder}: {what} not what the run began with; begin another with --out")


def start_run(folder: Path, run: Prepared) -> None:
    """Makes the folder of a run and writes what it is made from.

    Raises:
        ValueError: it holds a run already.
    """
    if not first_process():
        return
    if (folder / SETTINGS).exists():
        raise ValueError(f"--out {folder}: holds a run already; continue it with --resume {folder}, or name another")
    for name in (MODEL, CHECKPOINTS, RESULT):
        if (folder / name).exists():
            raise ValueError(
                f"--out {folder}: has a {name} already, which the run would write over: name another folder"
            )
    provenance = {
        "versions": versions(ALIGNMENT),
        **run.origin(),
        "pairs": len(run.pairs),
        "data": run.counts(),
        "device": device_name(),
    }
    write_json(folder / SETTINGS, {"settings": run.settings.model_dump(), "provenance": provenance})


def read_run(folder: Path) -> AlignSettings:
    """The settings of a run that was begun.

    Raises:
        ValueError: one sentence: the folder holds none, or one that this mpo cannot read.
    """
    path = folder / SETTINGS
    try:
        stored = read_json(path, "settings of mpo align")["settings"]
        return build_settings(EARLIER | stored)
    except (KeyError, TypeError):
        raise ValueError(f"settings of mpo align {path}: are not what mpo align writes") from None


def finished(folder: Path) -> dict[str, Any] | None:
    """The result of a run that is over; None of one that is not."""
    path = folder / RESULT
    return read_json(path, "result of mpo align") if path.exists() else None


def train(run: Prepared, folder: Path, reporter: Reporter, *, fresh: bool = False) -> dict[str, Any]:
    """Trains, from the last whole checkpoint if there is one, and writes the model.

    Args:
        fresh: whether the folder was begun for this: it goes, if training cannot be set up.

    Returns:
        What is in result.json: updates, the metrics on held-out pairs after the last epoch, and counts of pairs.

    Raises:
        WorkFailed: weights that cannot be loaded, a device without enough memory, or a step that is not finite.
    """
    checkpoint = last_checkpoint(folder / CHECKPOINTS)
    try:
        trainer = _made(run, folder, reporter, fresh)
        trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
    except OutOfMemory:
        raise WorkFailed(
            "the device is out of memory: lower micro_batch or max_length, set gradient_checkpointing=true, or train "
            f"an adapter (lora.rank), with --set; the run in {folder} cannot go on with the settings it has"
        ) from None
    _check_weights(trainer)
    trainer.save_model(str(folder / MODEL))
    scores = [line for line in trainer.state.log_history if "eval_loss" in line]
    result = {
        "updates": trainer.state.global_step, "held_out": scores[-1] if scores else None, "data": run.counts(),
    }  # fmt: skip
    if first_process():
        write_json(folder / MODEL / ORIGIN, {"settings": run.settings.model_dump(include={"model", "objective"})})
        write_json(folder / RESULT, result)
    return result


def last_checkpoint(folder: Path) -> Path | None:
    """The newest checkpoint that was written to its end: the trainer's state is the last file of one."""
    whole = [path.parent for path in folder.glob("checkpoint-*/trainer_state.json") if _is_json(path)]
    return max(whole, key=lambda path: int(path.name.rpartition("-")[2]), default=None)


def _made(run: Prepared, folder: Path, reporter: Reporter, fresh: bool) -> ObjectiveTrainer:
    """The trainer; what TRL or PEFT refuse, such as layers that the model does not have, in a sentence.

    A folder that was begun for it goes then: nothing can go on from it.
    """
    try:
        return _trainer(run, folder, reporter)
    except (ValueError, NotImplementedError) as error:
        _abandon(folder, fresh)
        said = " ".join(str(error).split()).rstrip(".")
        raise WorkFailed(f"training cannot be set up with these settings: {said[:400]}") from None
    except (WorkFailed, OutOfMemory):
        _abandon(folder, fresh)
        raise


def _abandon(folder: Path, fresh: bool) -> None:
    if not fresh or not first_process():
        return
    shutil.rmtree(folder / CHECKPOINTS, ignore_errors=True)
    for name in (SETTINGS, METRICS):
        (folder / name).unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # it held something before
        folder.rmdir()


def _check_weights(trainer: ObjectiveTrainer) -> None:
    if not trained_weights_are_finite(trainer.model):
        raise WorkFailed(
            f"after update {trainer.state.global_step} the weights are not finite, so no model is written: lower "
            "learning_rate"
        )


def _trainer(run: Prepared, folder: Path, reporter: Reporter) -> ObjectiveTrainer:
    settings = run.settings
    adapted = settings.lora.rank > 0
    model, has_adapter = model_to_train(settings.model, adapted=adapted, seed=settings.seed)
    new = adapted and not has_adapter
    trainer = ObjectiveTrainer(
        model,
        args=training_arguments(settings, folder / CHECKPOINTS),
        objective=settings.loss,
        train_dataset=run.pairs.data,
        eval_dataset=None if run.held_out is None else run.held_out.data,
        processing_class=run.tokenizer,
        peft_config=lora_config(settings.lora) if new else None,
        callbacks=[ProgressCallback(watcher(reporter, folder / METRICS)), EpochBorders(run.held_out is not None)],
    )
    without_printing(trainer)
    return trainer


def first_process() -> bool:
    """Whether this is the process, of those that train together, that writes."""
    return os.environ.get("RANK", "0") == "0"


def _is_json(path: Path) -> bool:
    try:
        return bool(json.loads(path.read_text()))
    except (OSError, ValueError):
        return False
