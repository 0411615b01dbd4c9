"""`mixed:Q`: rows with both trajectories from the original agent."""

import dataclasses
from collections.abc import Mapping
from typing import ClassVar

from mpo_core.data.fault import Kind, NumberFault, Stage


@dataclasses.dataclass(frozen=True)
class Mixed(NumberFault):
    """A share Q of the rows is original against original, the rest original against target."""

    name: ClassVar[str] = "mixed"
    form: ClassVar[str] = "mixed:Q"
    description: ClassVar[str] = "a share Q of the rows has both trajectories from the original agent (0 <= Q <= 1)"
    stage: ClassVar[Stage] = "pairs"

    def shares(self) -> Mapping[Kind, float]:
        return {(0, 0): self.value, (0, 1): 1 - self.value}
