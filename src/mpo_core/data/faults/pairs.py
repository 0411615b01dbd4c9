"""`pairs:oo=A,ot=B,tt=C`: shares of rows by who made their trajectories."""

import dataclasses
from collections.abc import Mapping
from typing import ClassVar

from mpo_core.data.fault import DataFault, Kind, Stage, check_shares, number_text, read_number
from mpo_core.data.faults.mixed import Mixed
from mpo_core.names import shortened, unknown_name

KIND_NAMES: dict[str, Kind] = {"oo": (0, 0), "ot": (0, 1), "tt": (1, 1)}


@dataclasses.dataclass(frozen=True)
class Pairs(DataFault):
    """Shares of original/original, original/target and target/target rows, which sum to 1."""

    oo: float
    ot: float
    tt: float

    name: ClassVar[str] = "pairs"
    form: ClassVar[str] = "pairs:oo=A,ot=B,tt=C"
    description: ClassVar[str] = (
        "shares of original/original, original/target and target/target rows (each from 0 to 1, sum 1)"
    )
    stage: ClassVar[Stage] = "pairs"

    def __post_init__(self):
        check_shares(self.shares(), "pairs")

    @classmethod
    def parse(cls, value: str) -> DataFault:
        """Reads the shares; those without target/target rows are `mixed`."""
        found: dict[str, float] = {}
        term = f"pairs:{value}"
        for part in value.split(","):
            kind, _, share = (piece.strip() for piece in part.partition("="))
            if kind not in KIND_NAMES:
                raise unknown_name("kind of pair", kind, KIND_NAMES)
            if kind in found:
                raise ValueError(f"data specification: {shortened(term)!r} gives the share of {kind!r} twice")
            found[kind] = read_number(share, term)
        pairs = cls(*(found.get(kind, 0.0) for kind in KIND_NAMES))
        return pairs if pairs.tt else Mixed(pairs.oo)

    @property
    def text(self) -> str:
        return f"pairs:oo={number_text(self.oo)},ot={number_text(self.ot)},tt={number_text(self.tt)}"

    def shares(self) -> Mapping[Kind, float]:
        return {KIND_NAMES["oo"]: self.oo, KIND_NAMES["ot"]: self.ot, KIND_NAMES["tt"]: self.tt}
