"""`noisy:E`: labels flipped at random."""

import dataclasses
from typing import ClassVar

from mpo_core.data.fault import FlipFault
from mpo_core.data.fault_types import LabelledPairs, Probability


@dataclasses.dataclass(frozen=True)
class Noisy(FlipFault):
    """Every label is flipped with probability E, whatever the row."""

    name: ClassVar[str] = "noisy"
    form: ClassVar[str] = "noisy:E"
    description: ClassVar[str] = "a label is flipped with probability E (0 <= E <= 1)"

    def probability(self, pairs: LabelledPairs) -> Probability:
        return self.value
