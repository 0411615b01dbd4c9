"""One trial: pairs are drawn, the original model trains on them by the road of an LLM engineer, and is judged."""

import tempfile
import time
from typing import Any

import torch
from datasets import Dataset
from transformers import LlamaForCausalLM
from transformers.trainer_callback import PrinterCallback
from trl.trainer.dpo_config import DPOConfig

from adapters.torch.preference_text import token_dataset
from adapters.torch.trl_trainer import LossTrainer
from mpo_core.data.specification import parse_data_spec
from mpo_core.seeds import Purpose
from mpo_core.settings import FAILED_SCORE
from mpo_experiments.align.loss import torch_loss
from mpo_experiments.lm_transfer.models import copy_of
from mpo_experiments.lm_transfer.pairs import preference_rows
from mpo_experiments.lm_transfer.settings import Outcome, TransferSettings, Trial
from mpo_experiments.lm_transfer.world import World, judge_model, torch_seed
from mpo_experiments.objectives.named import NamedObjective, parse_objective
from mpo_experiments.versions import LANGUAGE, versions

SFT = parse_objective("sft_mean")
"""The SFT phase before an objective, as in the suite: mean token log-prob of the chosen side."""


class Bench:
    """Runs trials. Those of one unit share its pairs, and its SFT phase where they share the learning rate."""

    def __init__(self, world: World, settings: TransferSettings):
        self._world, self._settings = world, settings
        self._unit: tuple[Any, ...] = ()
        self._rows = Dataset.from_dict({})
        self._after_sft: dict[tuple[int, float], LlamaForCausalLM] = {}

    def run(self, trial: Trial) -> Outcome:
        """Trains and judges a model.

        The reference of an objective that needs one is the model that it starts from: the original, or that after SFT.
        The progress that an objective sees counts its own updates.
        """
        began, settings, world = time.monotonic(), self._settings, self._world
        self._move_to(trial)
        sizes, sft_epochs = settings.sizes, trial.sft_epochs
        start = self._sft(trial, sft_epochs) if sft_epochs else world.original
        model = copy_of(start)
        self._train(model, trial, trial.objective, sizes.epochs - sft_epochs, reference=copy_of(start))
        seed = torch_seed(settings.seed, trial.stream, trial.unit, Purpose.EVALUATION_ACTIONS)
        found, card = judge_model(model, world.reward, world.fresh, sizes.longest, sizes.samples, seed=seed), world.card
        return Outcome(
            data=trial.data, objective=str(trial.objective), learning_rate=trial.learning_rate,
            stream=trial.stream.name.lower(), unit=trial.unit, sft_epochs=sft_epochs, texts=found,
            sampled=card.normalised(found.sampled, "sampled") if found else FAILED_SCORE,
            mode=card.normalised(found.mode, "mode") if found else FAILED_SCORE,
            seconds=round(time.monotonic() - began, 2), versions=versions(LANGUAGE),
        )  # fmt: skip

    def _move_to(self, trial: Trial) -> None:
        """Draws the pairs of a trial's unit, unless the trial before was of the same."""
        unit = (trial.data, trial.stream, trial.unit)
        if unit != self._unit:
            settings = self._settings
            rows = preference_rows(
                self._world, parse_data_spec(trial.data), settings.sizes.rows,
                seed=settings.seed, stream=trial.stream, unit=trial.unit,
            )  # fmt: skip
            self._rows, self._after_sft, self._unit = token_dataset(rows), {}, unit

    def _sft(self, trial: Trial, epochs: int) -> LlamaForCausalLM:
        place = (epochs, trial.learning_rate)
        if place not in self._after_sft:
            model = copy_of(self._world.original)
            self._train(model, trial, SFT, epochs)
            self._after_sft[place] = model
        return self._after_sft[place]

    def _train(
        self, model: LlamaForCausalLM, trial: Trial, objective: NamedObjective, epochs: int,
        reference: LlamaForCausalLM | None = None,
    ) -> None:  # fmt: skip
        sizes = self._settings.sizes
        seed = torch_seed(self._settings.seed, trial.stream, trial.unit, Purpose.TRAINING)
        with tempfile.TemporaryDirectory() as folder:
            arguments = DPOConfig(
                output_dir=folder, num_train_epochs=epochs, per_device_train_batch_size=sizes.minibatch,
                learning_rate=trial.learning_rate, lr_scheduler_type="constant", max_grad_norm=sizes.max_grad_norm,
                seed=seed, max_length=None, use_cpu=not torch.cuda.is_available(), bf16=False,
                gradient_checkpointing=False, report_to="none",
                save_strategy="no", logging_strategy="no", disable_tqdm=True, dataloader_pin_memory=False,
            )  # fmt: skip
            trainer = LossTrainer(  # every pair as it was drawn, ties too; a model that diverges is judged
                model, reference, arguments, loss=torch_loss(objective), train_dataset=self._rows,
                processing_class=self._world.tokenizer, stops=False,
            )  # fmt: skip
            trainer.remove_callback(PrinterCallback)
            trainer.train()
