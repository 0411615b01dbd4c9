"""The ids of the hand-written objectives, known without JAX: a name that is none is refused at once."""

from collections.abc import Iterable

from mpo_core.losses.not_built import NOT_BUILT
from mpo_core.losses.own_ids import OWN_IDS as OWN_IDS
from mpo_core.names import unknown_name


def unknown_objective(id: str, known: Iterable[str]) -> ValueError:
    """Which objective was probably meant, or why the published loss of that name is not built."""
    name, colon, _ = id.partition(":")
    if colon and name in OWN_IDS:
        return ValueError(f"objective {id!r}: only the id can stand here, without settings: {name!r}")
    error = unknown_name("objective", id, known, where="mpo list discovered" if "/" in id else "mpo list objectives")
    if id in NOT_BUILT:
        return ValueError(f"{error}; the published loss of that name is not built: {NOT_BUILT[id]}")
    return error
