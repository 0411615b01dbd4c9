"""Settings of the core as small frozen values; needs no JAX, so that a command line can check them at once."""

import dataclasses
import math
from typing import Any

from mpo_core.names import unknown_name

MAPS = {"phi": "phi_inv", "psi": "psi", "g": "g"}
"""Short names of the three maps of the mirror family, and what a `MirrorObjective` calls them."""
AGENTS = ("original", "target", "other")
"""Who may have made a trajectory, in the order of their numbers in `PreferenceRows.source`."""
FAILED_SCORE = -1.0
"""What a policy scores whose return is not a number: as far under the original as the target is above it (ours)."""


PRECISIONS = ("default", "highest", "bfloat16")
"""How exact the matrix products of inner loops are: what the device does by itself (float32 on CPUs, TF32 on recent
GPUs), full float32, or bfloat16 factors and activations. Physics and sums of log-probs are always float32."""
KERNELS = ("auto", "xla", "pallas")
"""What computes log-probs in inner loops: XLA's products, or a kernel of ours for GPUs; auto: XLA's."""


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
        check_most("rows: count", self.count, 10**6)
        check_most("rows: length", self.length, 10**6)
        check_most("rows: count x length", self.count * self.length, 10**9)


@dataclasses.dataclass(frozen=True)
class Products:
    """How an inner loop computes its matrix products; its numbers differ by rounding alone."""

    precision: str = "default"
    kernel: str = "auto"


@dataclasses.dataclass(frozen=True)
class InnerLoopSettings:
    """The paper's table 7, and how many of the epochs are SFT on the chosen trajectories before the objective."""

    __pydantic_config__ = {"extra": "forbid"}

    epochs: int = 12
    sft_epochs: int = 0
    minibatch: int = 2
    learning_rate: float = 1e-3
    max_grad_norm: float = 1.3
    precision: str = "default"
    """One of `PRECISIONS`."""
    kernel: str = "auto"
    """One of `KERNELS`."""

    @property
    def products(self) -> Products:
        """How its matrix products are computed."""
        return Products(self.precision, self.kernel)

    def recorded(self) -> dict[str, Any]:
        """As results keep them: how products are computed is left out where it is the default."""
        usual = dataclasses.asdict(Products())
        return {name: value for name, value in dataclasses.asdict(self).items() if usual.get(name) != value}

    def __post_init__(self):
        for name, known in (("precision", PRECISIONS), ("kernel", KERNELS)):
            if getattr(self, name) not in known:
                raise unknown_name(f"inner.{name}", getattr(self, name), known)
        if not 0 <= self.sft_epochs <= self.epochs or self.epochs < 1:
            raise ValueError(
                f"inner loop: need epochs >= 1 and 0 <= sft_epochs <= {self.epochs}, not {self.sft_epochs}"
            )
        check_most("inner loop: epochs", self.epochs, 10**4)
        if self.minibatch < 1 or not (positive(self.learning_rate) and positive(self.max_grad_norm)):
            raise ValueError("inner loop: minibatch, learning_rate and max_grad_norm must be positive and finite")


@dataclasses.dataclass(frozen=True)
class EvaluationSettings:
    """How a trained policy is judged: undiscounted return over `horizon` steps, mean of `episodes`."""

    __pydantic_config__ = {"extra": "forbid"}

    episodes: int = 4
    horizon: int = 1000

    def __post_init__(self):
        if self.episodes < 1 or self.horizon < 1:
            raise ValueError(f"evaluation: episodes and horizon must be positive, not {self.episodes}, {self.horizon}")
        check_most("evaluation: episodes", self.episodes, 10**5)
        check_most("evaluation: horizon", self.horizon, 10**6)


def updates_of(loops: int, rows: RowSettings, inner: InnerLoopSettings) -> int:
    """Updates of so many inner loops, those of an SFT phase included: what budgets are counted in."""
    return loops * inner.epochs * (rows.count // inner.minibatch)


def positive(value: float) -> bool:
    """Whether a number is above zero, finite, and not lost in single precision."""
    return math.isfinite(value) and 1e-30 < value < 1e30


def check_most(what: str, value: int, most: int) -> None:
    """Refuses a size that no machine would finish, before it overflows somewhere.

    Raises:
        ValueError: it is above `most`.
    """
    if value > most:
        raise ValueError(f"{what} must be at most {most}, not {value if value < 10**20 else 'that much'}")
