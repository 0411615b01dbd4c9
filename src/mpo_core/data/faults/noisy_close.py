"""`noisy_close:E`: labels flipped the likelier, the closer the two trajectories are."""

import dataclasses
from typing import ClassVar

from mpo_core.data.fault import FlipFault
from mpo_core.data.fault_types import LabelledPairs, Probability


@dataclasses.dataclass(frozen=True)
class NoisyClose(FlipFault):
    """A label is flipped with probability E exp(-m), m the true margin in root mean squares of the dataset's margins.

    E is the probability where the two returns are equal, and at most 1/2: a coin is tossed. How many labels are flipped
    in all depends on the data. Our form of noise that falls with the difference of rewards (types of noise:
    arXiv 2404.09824).
    """

    name: ClassVar[str] = "noisy_close"
    form: ClassVar[str] = "noisy_close:E"
    description: ClassVar[str] = (
        "a label is flipped with probability E exp(-m), m the true margin over the root mean square of all "
        "(0 <= E <= 0.5)"
    )
    high: ClassVar[float] = 0.5
    what: ClassVar[str] = "a probability"

    def probability(self, pairs: LabelledPairs) -> Probability:
        import jax.numpy as jnp

        return self.value * jnp.exp(-pairs.margin)
