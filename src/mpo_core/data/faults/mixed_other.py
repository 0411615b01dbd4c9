"""`mixed_other:Q`: rows with both trajectories from the other agent."""

import dataclasses
from collections.abc import Mapping
from typing import ClassVar

from mpo_core.data.fault import Kind, NumberFault, Stage


@dataclasses.dataclass(frozen=True)
class MixedOther(NumberFault):
    """A share Q of the rows is other against other, the rest original against target.

    Like `mixed`, but its poor rows are not drawn from the policy that is trained: their log-probs under it do not say
    that they are the reference's own.
    """

    name: ClassVar[str] = "mixed_other"
    form: ClassVar[str] = "mixed_other:Q"
    description: ClassVar[str] = (
        "a share Q of the rows has both trajectories from the task's `other` agent, as good as the original but of "
        "another training run (0 <= Q <= 1)"
    )
    stage: ClassVar[Stage] = "pairs"

    def shares(self) -> Mapping[Kind, float]:
        return {(2, 2): self.value, (0, 1): 1 - self.value}
