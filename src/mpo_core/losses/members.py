"""Hand-written objectives as points of the mirror family."""

from typing import Protocol, runtime_checkable

from mpo_core.losses.card import LossCard
from mpo_core.losses.catalogue import catalogue, catalogue_entry, make_objective
from mpo_core.mirror.mirror_objective import MirrorObjective


@runtime_checkable
class Member(Protocol):
    """A loss that says which point of the mirror family it is."""

    def mirror(self) -> MirrorObjective:
        """The same as a point of the mirror family."""
        ...


def as_mirror(id: str, /, **settings: object) -> MirrorObjective:
    """The `MirrorObjective` that equals `make_objective(id, **settings)`.

    Raises:
        ValueError: that objective is no exact member of the family (the message says why), or there is none such.
    """
    objective = make_objective(id, **settings)
    if not isinstance(objective, Member):
        raise ValueError(f"objective {id!r} is not a member of the mirror family: {why_not_member(id)}")
    return objective.mirror()


def member_ids() -> tuple[str, ...]:
    """The ids that `as_mirror` can give, in the order of the catalogue."""
    return tuple(entry.id for entry in catalogue() if _is_member(entry.factory))


def why_not_member(id: str, /) -> str | None:
    """Why an objective is no exact member of the family; None if it is one.

    Raises:
        ValueError: there is no such objective.
    """
    factory = catalogue_entry(id).factory
    if _is_member(factory):
        return None
    card = getattr(factory, "card", None)
    said = card.no_member if isinstance(card, LossCard) else None
    return said or "nobody has said which maps it has"


def _is_member(factory: object) -> bool:
    return isinstance(factory, type) and issubclass(factory, Member)
