"""`noisy_long:E`: labels that fall for length."""

import dataclasses
from typing import ClassVar

from mpo_core.data.fault import FlipFault
from mpo_core.data.fault_types import LabelledPairs, Probability


@dataclasses.dataclass(frozen=True)
class NoisyLong(FlipFault):
    """With probability E a label prefers the longer trajectory, whatever the judge said.

    Where both are equally long, it stays: on a task whose episodes never end early the fault changes nothing. Our
    form of a labeller's bias for length (arXiv 2503.12301 has it among noise that depends on the content).
    """

    name: ClassVar[str] = "noisy_long"
    form: ClassVar[str] = "noisy_long:E"
    description: ClassVar[str] = (
        "with probability E a label prefers the longer trajectory (of texts: more words), whatever the judge said; "
        "it stays where both are equally long (0 <= E <= 1)"
    )
    what: ClassVar[str] = "a probability"

    def probability(self, pairs: LabelledPairs) -> Probability:
        first, second = pairs.length[:, 0], pairs.length[:, 1]
        prefers_shorter = (pairs.second_wins & (second < first)) | (~pairs.second_wins & (first < second))
        return self.value * prefers_shorter
