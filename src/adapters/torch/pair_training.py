"""Training of a causal language model on pairs of tokens by TRL, without checkpoints, logs or bars."""

import dataclasses
import tempfile

import torch

from adapters.torch.preference_text import TrainingData
from adapters.torch.small_models import SmallModel, SmallTokenizer
from adapters.torch.torch_loss import TorchLoss
from adapters.torch.trl_run import trainer_settings, without_printing
from adapters.torch.trl_trainer import LossTrainer


@dataclasses.dataclass(frozen=True)
class PairTraining:
    """Settings of a training: Adam at a constant learning rate."""

    epochs: int
    minibatch: int
    learning_rate: float
    max_grad_norm: float
    seed: int


def train_on_pairs(
    model: SmallModel, reference: SmallModel | None, pairs: TrainingData, loss: TorchLoss, tokenizer: SmallTokenizer,
    how: PairTraining,
) -> None:  # fmt: skip
    """Trains a model in place, on every pair as it is; one that diverges is trained to the end.

    Args:
        reference: of a loss that reads one.
        pairs: columns `prompt_ids`, `chosen_ids`, `rejected_ids`.
    """
    with tempfile.TemporaryDirectory() as folder:
        given = {
            "output_dir": folder, "num_train_epochs": how.epochs, "per_device_train_batch_size": how.minibatch,
            "learning_rate": how.learning_rate, "lr_scheduler_type": "constant", "max_grad_norm": how.max_grad_norm,
            "seed": how.seed, "max_length": None, "use_cpu": not torch.cuda.is_available(), "bf16": False,
            "gradient_checkpointing": False, "save_strategy": "no", "logging_strategy": "no",
            "dataloader_pin_memory": False, "disable_dropout": True,
        }  # fmt: skip
        trainer = LossTrainer(
            model,
            reference,
            trainer_settings(given),
            loss=loss,
            train_dataset=pairs,
            processing_class=tokenizer,
            stops=False,
        )
        without_printing(trainer).train()
