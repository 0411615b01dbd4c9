"""What `mpo.data_faults` finds: labels that prefer whatever was second. Every mpo command imports this file, so JAX is
imported only where labels are made."""

import dataclasses
from typing import ClassVar

from mpo_core.data.fault import FlipFault
from mpo_core.data.fault_types import LabelledPairs, Probability


@dataclasses.dataclass(frozen=True)
class NoisySecond(FlipFault):
    """With probability E a label prefers the second trajectory, whatever the judge said: a labeller's position bias."""

    name: ClassVar[str] = "noisy_second"
    form: ClassVar[str] = "noisy_second:E"
    description: ClassVar[str] = "with probability E a label prefers the second trajectory (0 <= E <= 1)"
    what: ClassVar[str] = "a probability"

    def probability(self, pairs: LabelledPairs) -> Probability:
        """The probability of a flip: E where the first is preferred."""
        import jax.numpy as jnp

        return jnp.where(pairs.second_wins, 0.0, self.value)
