"""What the catalogue knows of an objective: read off the class of a hand-written one, or said by whoever brings it."""

import dataclasses
import functools
import typing
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Literal

from mpo_core.losses.card import LossCard
from mpo_core.objective.domain import Domain
from mpo_core.objective.interface import AbstractObjective
from mpo_core.objective.setting import number_settings

PAPER_EPOCHS = 12


@dataclasses.dataclass(frozen=True)
class TuningRange:
    """Range in which the setting `name` is searched, at the scale it was published for; fields as of `SearchRange`."""

    name: str
    low: float
    high: float
    scale: Literal["sum", "mean", "none"] = "none"
    log: bool = False


@dataclasses.dataclass(frozen=True)
class Setting:
    """A hyper-parameter of an objective: a number, or one of a few words that are structure."""

    name: str
    default: float | int | str | None
    """None: left open, so that the data decide, or no number that stands in the class."""
    optional: bool = False
    """Whether it may be left open."""
    domain: Domain | None = None
    """The numbers that it may be; None: any finite one, or it is a word."""
    words: tuple[str, ...] = ()
    """What it may be where it is a word."""
    tuning: TuningRange | None = None


@dataclasses.dataclass(frozen=True)
class CatalogueEntry:
    """One objective: its class, where it comes from and what it needs. Fields as of `LossCard`, but for these."""

    id: str
    factory: Callable[..., AbstractObjective]
    """The class of a hand-written objective, its fields are settings; of a saved one, a function that reads it."""
    family: str
    citation: str
    formula: str
    needs_reference: bool
    length_normalised: bool
    member: str
    sees_rewards: bool = False
    sees_groups: bool = False
    sft_epochs: int = 0
    tuning: tuple[TuningRange, ...] = ()

    def sft_epochs_of(self, epochs: int) -> int:
        """SFT epochs of a schedule of another length, in the paper's proportion; the objective keeps at least one."""
        return min(round(self.sft_epochs * epochs / PAPER_EPOCHS), epochs - 1)

    @property
    def settings(self) -> Mapping[str, Setting]:
        """Its settings by name; a saved objective is as it was saved and has none."""
        return settings_of(self.factory)


@functools.cache
def entry_of(loss: type[AbstractObjective]) -> CatalogueEntry:
    """The entry of a class that has a `card`.

    Raises:
        ValueError: it has none.
    """
    card = getattr(loss, "card", None)
    if not isinstance(card, LossCard):
        raise ValueError(f"{loss.__name__} says nothing about itself: give it a class variable card = LossCard(...)")
    said: dict[str, Any] = dataclasses.asdict(card)
    del said["no_member"]
    ranges = (one.tuning for one in settings_of(loss).values())
    return CatalogueEntry(factory=loss, tuning=tuple(one for one in ranges if one is not None), **said)


@functools.cache
def settings_of(factory: Callable[..., AbstractObjective]) -> Mapping[str, Setting]:
    """The settings of an objective by name, as its class has them."""
    if not isinstance(factory, type):
        return MappingProxyType({})
    hints, numbers = typing.get_type_hints(factory), number_settings(factory)
    found = {}
    for field in dataclasses.fields(factory):
        number = numbers.get(field.name)
        search = number.search if number else None
        found[field.name] = Setting(
            name=field.name,
            default=field.default if isinstance(field.default, int | float | str) else None,
            optional=field.default is None,
            domain=number.domain if number else None,
            words=typing.get_args(hints[field.name]) if field.metadata.get("static") else (),
            tuning=TuningRange(field.name, **dataclasses.asdict(search)) if search else None,
        )
    return MappingProxyType(found)
