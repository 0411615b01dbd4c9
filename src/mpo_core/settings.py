"""Settings of the core as small frozen values; needs no JAX, so that a command line can check them at once."""

import dataclasses


class UnusableSetting(ValueError):
    """A setting that only the run itself could tell to be unusable: the user's mistake all the same."""


@dataclasses.dataclass(frozen=True)
class RowSettings:
    """Size of a preference dataset: rows, and steps of each of a row's two trajectories."""

    __pydantic_config__ = {"extra": "forbid"}

    count: int = 1280
    length: int = 1000

    def __post_init__(self):
        if self.count < 2 or self.length < 1:
            raise ValueError(f"rows: count must be >= 2 and length >= 1, not {self.count} and {self.length}")


@dataclasses.dataclass(frozen=True)
class InnerLoopSettings:
    """The paper's table 7, and how many of the epochs are SFT on the chosen trajectories before the objective."""

    __pydantic_config__ = {"extra": "forbid"}

    epochs: int = 12
    sft_epochs: int = 0
    minibatch: int = 2
    learning_rate: float = 1e-3
    max_grad_norm: float = 1.3

    def __post_init__(self):
        if not 0 <= self.sft_epochs <= self.epochs or self.epochs < 1:
            raise ValueError(
                f"inner loop: need epochs >= 1 and 0 <= sft_epochs <= {self.epochs}, not {self.sft_epochs}"
            )
        if self.minibatch < 1 or self.learning_rate <= 0 or self.max_grad_norm <= 0:
            raise ValueError("inner loop: minibatch, learning_rate and max_grad_norm must be positive")


@dataclasses.dataclass(frozen=True)
class EvaluationSettings:
    """How a trained policy is judged: undiscounted return over `horizon` steps, mean of `episodes`."""

    __pydantic_config__ = {"extra": "forbid"}

    episodes: int = 4
    horizon: int = 1000

    def __post_init__(self):
        if self.episodes < 1 or self.horizon < 1:
            raise ValueError(f"evaluation: episodes and horizon must be positive, not {self.episodes}, {self.horizon}")
