"""One trial: pairs are drawn, the original model trains on them by the road of an LLM engineer, and is judged."""

import time
from typing import Any

from adapters.torch.pair_training import PairTraining, train_on_pairs
from adapters.torch.preference_text import token_dataset
from adapters.torch.small_models import SmallModel, copy_of
from mpo_core.data.specification import parse_data_spec
from mpo_core.seeds import Purpose
from mpo_core.settings import FAILED_SCORE
from mpo_experiments.align.loss import torch_loss
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
        self._rows = token_dataset({})
        self._after_sft: dict[tuple[int, float], SmallModel] = {}

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

    def _sft(self, trial: Trial, epochs: int) -> SmallModel:
        place = (epochs, trial.learning_rate)
        if place not in self._after_sft:
            model = copy_of(self._world.original)
            self._train(model, trial, SFT, epochs)
            self._after_sft[place] = model
        return self._after_sft[place]

    def _train(
        self, model: SmallModel, trial: Trial, objective: NamedObjective, epochs: int,
        reference: SmallModel | None = None,
    ) -> None:  # fmt: skip
        sizes = self._settings.sizes
        seed = torch_seed(self._settings.seed, trial.stream, trial.unit, Purpose.TRAINING)
        how = PairTraining(epochs, sizes.minibatch, trial.learning_rate, sizes.max_grad_norm, seed)
        train_on_pairs(model, reference, self._rows, torch_loss(objective), self._world.tokenizer, how)
