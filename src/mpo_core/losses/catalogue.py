"""Every objective by its id: the hand-written ones, ours and those that others register, and saved ones.

Saved objectives, such as `discovered/halfcheetah-mixed75-temporal`, were learned and are kept in files. The core reads
no files: packages bring them by entry points of the group `mpo.saved_objectives` (this one does), read on first use.
"""

import functools
import importlib.metadata
import inspect
from types import ModuleType

import equinox as eqx
import jax

from mpo_core.losses.entry import CatalogueEntry, Setting, TuningRange, entry_of, settings_of
from mpo_core.losses.families import (
    batch,
    divergence,
    gpo,
    imitation,
    llm_proposed,
    log_ratio,
    normalised,
    regularised,
    rewards,
    separate,
    unequal,
)
from mpo_core.losses.ids import unknown_objective
from mpo_core.losses.not_built import NOT_BUILT
from mpo_core.names import unknown_name
from mpo_core.objective.interface import AbstractObjective
from mpo_core.objective.setting import fault_of_number

__all__ = [
    "NOT_BUILT",
    "CatalogueEntry",
    "Setting",
    "TuningRange",
    "catalogue",
    "catalogue_entry",
    "make_objective",
    "objective_ids",
    "own_entries",
    "parse_objective_text",
    "register_objective",
    "register_saved",
    "saved_ids",
]

_FAMILIES = (
    imitation,
    log_ratio,
    gpo,
    normalised,
    regularised,
    unequal,
    separate,
    divergence,
    rewards,
    llm_proposed,
    batch,
)


def _losses_of(family: ModuleType) -> list[type[AbstractObjective]]:
    """The classes of a file that say what they are, in its order."""
    return [
        one
        for one in vars(family).values()
        if isinstance(one, type) and one.__module__ == family.__name__ and "card" in vars(one)
    ]


@functools.cache
def own_entries() -> tuple[CatalogueEntry, ...]:
    """Those of the losses of this package, a family after the other."""
    return tuple(entry_of(loss) for family in _FAMILIES for loss in _losses_of(family))


_BY_ID = {entry.id: entry for entry in own_entries()}
_SAVED: dict[str, CatalogueEntry] = {}
SAVED_GROUP = "mpo.saved_objectives"
"""Entry points: each a function without arguments that returns catalogue entries whose factory reads a file."""


def catalogue() -> tuple[CatalogueEntry, ...]:
    """All entries, a family after the other, then those that were registered."""
    return tuple(_BY_ID.values())


def register_objective(entry: CatalogueEntry | type[AbstractObjective]) -> None:
    """Adds an objective of one's own to the catalogue; the same one again changes nothing.

    Args:
        entry: a class with a `card`, or an entry that says of a class without one what a card would.

    Raises:
        ValueError: the id is taken or no plain word, the class is no concrete sub-class of `AbstractObjective` or has
            no card, its settings are not numbers or words with defaults, or a default or a search range lies outside
            the domain of its setting.
    """
    entry = entry_of(entry) if isinstance(entry, type) else entry
    if not (entry.id.isascii() and entry.id.isidentifier()):
        raise ValueError(f"objective id {entry.id!r} is not a plain word: use letters, digits and underscores")
    if _BY_ID.get(entry.id, entry) != entry:
        raise ValueError(f"there is an objective {entry.id!r} already: choose another id")
    fault = _fault(entry)
    if fault:
        raise ValueError(f"objective {entry.id!r} cannot be registered: {fault}")
    _BY_ID.setdefault(entry.id, entry)


def _fault(entry: CatalogueEntry) -> str | None:
    """What would fail later, when the objective is made, listed or tuned; starts no JAX backend."""
    factory = entry.factory
    if not (isinstance(factory, type) and issubclass(factory, AbstractObjective)):
        return f"its factory {factory!r} is no sub-class of AbstractObjective"
    if inspect.isabstract(factory):
        return f"its factory {factory.__name__} is abstract"
    try:
        settings, shapes = settings_of(factory), eqx.filter_eval_shape(factory)
    except Exception as error:
        return f"{factory.__name__}() cannot be made ({' '.join(str(error).split())})"
    for name, leaf in vars(shapes).items():
        if isinstance(leaf, jax.ShapeDtypeStruct) and leaf.shape:
            return f"its setting {name!r} has shape {leaf.shape}, and a setting is one number"
    for one in settings.values():
        fault = None if one.words or one.default is None else fault_of_number(one.default, one.domain)
        if fault:
            return f"its default lies outside the domain: {one.name} {fault}"
    for range_ in entry.tuning:
        if range_.name not in settings:
            return f"it tunes {range_.name!r}, which is none of its settings"
        for end in (range_.low, range_.high):
            fault = fault_of_number(end, settings[range_.name].domain)
            if fault:
                return f"its search range leaves the domain: {range_.name} {fault}"
    return None


def objective_ids() -> tuple[str, ...]:
    """The ids of hand-written objectives, ours and registered ones."""
    return tuple(_BY_ID)


def saved_ids() -> tuple[str, ...]:
    """The ids of objectives that were learned and saved, such as `discovered/halfcheetah-mixed75-temporal`."""
    _read_entry_points()
    return tuple(_SAVED)


def register_saved(entry: CatalogueEntry) -> None:
    """Makes a saved objective known under an id with a slash in it; a later one of the same id replaces it.

    Raises:
        ValueError: the id has no slash, so it could be that of a hand-written objective.
    """
    if "/" not in entry.id:
        raise ValueError(f"saved objective {entry.id!r}: its id needs a slash, as in discovered/{entry.id}")
    _SAVED[entry.id] = entry


@functools.cache
def _read_entry_points() -> None:
    for point in importlib.metadata.entry_points(group=SAVED_GROUP):
        for entry in point.load()():
            register_saved(entry)


def catalogue_entry(id: str, /) -> CatalogueEntry:
    """The entry of one objective.

    Raises:
        ValueError: no objective has that id; the nearest ids are named, or why it is not built.
    """
    if "/" in id and id in saved_ids():
        return _SAVED[id]
    if id not in _BY_ID:
        raise unknown_objective(id, saved_ids() if "/" in id else _BY_ID)
    return _BY_ID[id]


def make_objective(id: str, /, **settings: object) -> AbstractObjective:
    """The objective of that id, with its published hyper-parameters where `settings` names no others.

    Raises:
        ValueError: unknown id, unknown setting, or a value outside the domain of its setting.
    """
    entry = catalogue_entry(id)
    for name, value in settings.items():
        _check_setting(entry, name, value)
    return entry.factory(**settings)


def parse_objective_text(text: str) -> tuple[str, dict[str, float | str]]:
    """Id and settings in a text such as "dpo:beta=0.3".

    Raises:
        ValueError: in one sentence, what is wrong with the text.
    """
    id, colon, rest = (part.strip() for part in text.partition(":"))
    entry = catalogue_entry(id)
    if colon and not rest:
        raise ValueError(f"objective {text!r} ends with a colon: write {id!r}, or {id}:NAME=VALUE,...")
    settings: dict[str, float | str] = {}
    for term in rest.split(",") if rest else ():
        name, equals, value = (part.strip() for part in term.partition("="))
        if not equals or not name or not value:
            raise ValueError(f"objective {text!r}: {term.strip()!r} is not of the form NAME=VALUE")
        if name in settings:
            raise ValueError(f"objective {text!r} sets {name!r} twice")
        settings[name] = _number_or_word(value)
        _check_setting(entry, name, settings[name])
    return id, settings


def _number_or_word(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def _check_setting(entry: CatalogueEntry, name: str, value: object) -> None:
    known = entry.settings
    if name not in known:
        if not known:
            raise ValueError(f"objective {entry.id!r} has no settings, so {name!r} cannot be set")
        raise unknown_name(f"setting of objective {entry.id!r}", name, known)
    words = known[name].words
    if words:
        fault = None if value in words else f"is one of {', '.join(words)}, not {value!r}"
    elif value is None and known[name].optional:
        fault = None
    else:
        fault = fault_of_number(value, known[name].domain)
    if fault:
        raise ValueError(f"objective {entry.id!r}: {name} {fault}")
