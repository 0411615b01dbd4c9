"""Which data faults there are; imports no JAX, so that a specification is checked at once."""

import re

from mpo_core.data.fault import DataFault
from mpo_core.data.faults.base import Base
from mpo_core.data.faults.judge import Judge
from mpo_core.data.faults.mixed import Mixed
from mpo_core.data.faults.mixed_other import MixedOther
from mpo_core.data.faults.noisy import Noisy
from mpo_core.data.faults.noisy_close import NoisyClose
from mpo_core.data.faults.noisy_long import NoisyLong
from mpo_core.data.faults.pairs import Pairs
from mpo_core.names import shortened, unknown_name

STAGES = ("pairs", "judge", "labels")
FAULTS: dict[str, type[DataFault]] = {
    fault.name: fault for fault in (Base, Noisy, Mixed, Judge, Pairs, MixedOther, NoisyClose, NoisyLong)
}


def register_data_fault(fault: type[DataFault]) -> None:
    """Adds a data fault of one's own; the same one again changes nothing.

    Raises:
        ValueError: it is no data fault, its name is no plain word or taken, or something that listing or reading it
            needs is missing.
    """
    if not (isinstance(fault, type) and issubclass(fault, DataFault)):
        raise ValueError(f"data fault {getattr(fault, '__name__', fault)!r} is no sub-class of DataFault")
    told = ("name", "form", "description", "stage")
    missing = [name for name in told if not isinstance(getattr(fault, name, None), str)]
    if missing:
        raise ValueError(f"data fault {fault.__name__!r} says no {' and no '.join(missing)}")
    if not re.fullmatch("[a-z][a-z0-9_]*", fault.name):
        raise ValueError(f"data fault {shortened(fault.name)!r} is not a plain word: use a-z, 0-9 and underscores")
    if fault.stage not in STAGES:
        raise unknown_name(f"stage of data fault {fault.name!r}", fault.stage, STAGES)
    if fault.form.partition(":")[0] != fault.name:
        raise ValueError(f"data fault {fault.name!r}: its form {shortened(fault.form)!r} must begin with its name")
    own = "shares" if fault.stage == "pairs" else "apply"
    for method in ("parse", "text", own):
        if _is_base_method(fault, method):
            raise ValueError(f"data fault {fault.name!r} must define {method!r}")
    if fault.__hash__ is None:
        raise ValueError(f"data fault {fault.name!r} cannot be hashed: make it a frozen dataclass")
    if FAULTS.setdefault(fault.name, fault) is not fault:
        raise ValueError(f"there is a data fault {fault.name!r} already: choose another name")


def data_fault(name: str) -> type[DataFault]:
    """The data fault of that name.

    Raises:
        ValueError: no such fault; the message names the nearest ones.
    """
    if name not in FAULTS:
        raise unknown_name("data term", name, [fault.form for fault in FAULTS.values()])
    return FAULTS[name]


def _is_base_method(fault: type[DataFault], method: str) -> bool:
    """Whether nothing between a fault and the base of all defines a method."""
    return next(cls for cls in fault.__mro__ if method in vars(cls)) is DataFault
