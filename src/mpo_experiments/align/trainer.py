"""TRL's `DPOTrainer` with any objective of ours, by its name."""

from pathlib import Path
from typing import Any

from trl.trainer.dpo_config import DPOConfig

from adapters.torch.trl_trainer import LossTrainer
from mpo_experiments.align.loss import torch_loss
from mpo_experiments.objectives.named import NamedObjective, parse_objective


class ObjectiveTrainer(LossTrainer):
    """Trains a causal language model on preference pairs; all else is as for `LossTrainer`."""

    def __init__(
        self,
        model: Any,
        ref_model: Any = None,
        args: DPOConfig | None = None,
        *,
        objective: str | Path | NamedObjective = "tempo",
        **rest: Any,
    ):
        """As for `trl.DPOTrainer`.

        Args:
            objective: `id`, `id:name=value,...`, an objective file or a run folder. One that reads margins needs a
                column `margin` in the data: chosen minus rejected reward, in standard deviations.
            rest: `train_dataset`, `eval_dataset`, `processing_class`, `peft_config`, `callbacks` and so on.

        Raises:
            ValueError: one sentence: an objective that there is not, one that keeps a state or reads margins that the
                data does not have, or settings in `args` that would shape a loss of TRL's.
        """
        named = objective if isinstance(objective, NamedObjective) else parse_objective(str(objective))
        super().__init__(model, ref_model, args, loss=torch_loss(named), **rest)
