"""`base`: no fault."""

import dataclasses
from collections.abc import Mapping
from typing import ClassVar

from mpo_core.data.fault import DataFault, Kind, Stage


@dataclasses.dataclass(frozen=True)
class Base(DataFault):
    """Original against target agent in every row; takes no value."""

    name: ClassVar[str] = "base"
    form: ClassVar[str] = "base"
    description: ClassVar[str] = "original against target agent in every row"
    stage: ClassVar[Stage] = "pairs"

    @classmethod
    def parse(cls, value: str) -> "Base":
        if value:
            raise ValueError("data specification: 'base' takes no value")
        return cls()

    @property
    def text(self) -> str:
        return ""

    def shares(self) -> Mapping[Kind, float]:
        return {(0, 1): 1.0}
