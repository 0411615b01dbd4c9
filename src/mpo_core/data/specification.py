"""Which pairs a dataset holds and how they are labelled: a value with one canonical text form."""

import dataclasses
import math
import re
from functools import cached_property
from typing import TypeVar

from mpo_core.data.fault import KINDS, DataFault, Kind, check_shares
from mpo_core.data.fault_registry import STAGES, data_fault
from mpo_core.data.faults.base import Base
from mpo_core.data.faults.judge import Judge
from mpo_core.names import shortened
from mpo_core.settings import AGENTS

FaultT = TypeVar("FaultT", bound=DataFault)
_TEXT_STAGES = ("pairs", "labels", "judge")
"""The order of terms in a text; within a stage by name."""


@dataclasses.dataclass(frozen=True)
class DataSpec:
    """A preference dataset's faults, in canonical order and without those that change nothing.

    Hashable and compared by value, so that a compiled program can depend on it.

    Raises:
        ValueError: two faults say which pairs there are, two are judges, or two are of one name.
    """

    faults: tuple[DataFault, ...] = ()

    def __post_init__(self):
        read = [type(fault).parse(fault.text.partition(":")[2]) for fault in self.faults if fault.text]
        held = [fault for fault in read if fault.text]  # as a text would give them
        held.sort(key=lambda fault: (_TEXT_STAGES.index(fault.stage), fault.name))
        places = [_place(fault) for fault in held]
        for place in places:
            if places.count(place) > 1:
                raise ValueError(f"data specification: more than one term sets the {place}")
        object.__setattr__(self, "faults", tuple(held))
        check_shares(dict(zip(KINDS, self.shares, strict=True)), str(self))

    def __str__(self) -> str:
        return "+".join(fault.text for fault in self.faults) or Base.name

    @cached_property
    def shares(self) -> tuple[float, ...]:
        """The share of rows of each kind, in the order of `KINDS`."""
        found = dict(next((fault for fault in self.faults if fault.stage == STAGES[0]), Base()).shares())
        check_shares(found, str(self))
        return tuple(found.get(kind, 0.0) for kind in KINDS)

    @property
    def judge(self) -> DataFault:
        """Who labels the pairs: that of temperature 0 unless there is another."""
        return next((fault for fault in self.faults if fault.stage == "judge"), Judge(0.0))

    @property
    def label_faults(self) -> tuple[DataFault, ...]:
        """What labels go through after the judge, in that order."""
        return tuple(fault for fault in self.faults if fault.stage == "labels")

    @property
    def roles(self) -> tuple[str, ...]:
        """The agents that a task needs to make these data: original and target always, perhaps other."""
        most = max(max(kind) for kind, share in zip(KINDS, self.shares, strict=True) if share)
        return AGENTS[: max(most + 1, 2)]

    def find(self, kind: type[FaultT]) -> FaultT | None:
        """The fault of a class, if there is one."""
        return next((fault for fault in self.faults if isinstance(fault, kind)), None)

    def without(self, *kinds: type[DataFault]) -> "DataSpec":
        """The specification without faults of these classes."""
        return DataSpec(tuple(fault for fault in self.faults if not isinstance(fault, kinds)))

    def kind_counts(self, rows: int) -> tuple[int, ...]:
        """How many of `rows` rows are of each of `KINDS`: the shares, rounded by largest remainder."""
        exact = [share * rows for share in self.shares]
        counts = [math.floor(value + 1e-9) for value in exact]
        by_remainder = sorted(range(len(KINDS)), key=lambda kind: counts[kind] - exact[kind])
        for kind in by_remainder[: rows - sum(counts)]:
            counts[kind] += 1
        return tuple(counts)


def kinds_of_rows(spec: DataSpec, rows: int) -> list[Kind]:
    """The agents of each of so many pairs, ordered by kind."""
    counts = spec.kind_counts(rows)
    return [kind for kind, count in zip(KINDS, counts, strict=True) for _ in range(count)]


def parse_data_spec(text: str) -> DataSpec:
    """Reads a term or several joined by `+`, such as `mixed:0.75+noisy:0.1`; `mpo list data` shows all terms.

    Raises:
        ValueError: one sentence that names the term and what is allowed.
    """
    found: dict[str, DataFault] = {}
    for term in re.split(r"\+(?!\d)", text.strip()):  # 1e+06 is a number
        name, _, value = term.strip().partition(":")
        fault = data_fault(name).parse(value)
        place = name if isinstance(fault, Base) else _place(fault)
        if place in found:
            raise ValueError(f"data specification {shortened(text)!r}: more than one term sets the {place}")
        found[place] = fault
    return DataSpec(tuple(found.values()))


def _place(fault: DataFault) -> str:
    """What a fault sets, which only one term may."""
    return fault.name if fault.stage == "labels" else fault.stage
