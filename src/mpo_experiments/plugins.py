"""Tasks, strategies, objectives and data faults that other installed packages bring, by entry point."""

import contextlib
import functools
import importlib.metadata
import sys
from collections.abc import Callable, Iterable
from importlib.metadata import EntryPoint
from typing import Any

from adapters.evosax.entries import StrategyEntry, register_strategy
from mpo_core.data.fault_registry import register_data_fault
from mpo_experiments.tasks.registry import TaskSpec, register_task

TASK_GROUP, STRATEGY_GROUP, OBJECTIVE_GROUP = "mpo.tasks", "mpo.strategies", "mpo.objectives"
FAULT_GROUP = "mpo.data_faults"


@functools.cache
def load_plugins() -> None:
    """Registers what the entry points of these groups name, once a process.

    In `mpo.tasks` each is a `TaskSpec`, in `mpo.strategies` a `StrategyEntry`, in `mpo.objectives` a class with a
    `card` or a `CatalogueEntry`, in `mpo.data_faults` a class of `DataFault`, or a function that returns one or
    several. One that cannot be used gets a sentence on standard error and is skipped. JAX is imported only where a
    package brings objectives, or imports it itself.
    """
    points = importlib.metadata.entry_points()
    for point in _sorted(points.select(group=TASK_GROUP)):
        _load(point, (TaskSpec,), register_task)
    for point in _sorted(points.select(group=STRATEGY_GROUP)):
        _load(point, (StrategyEntry,), register_strategy)
    for point in _sorted(points.select(group=FAULT_GROUP)):
        _load(point, (type,), register_data_fault)
    objectives = _sorted(points.select(group=OBJECTIVE_GROUP))
    if objectives:
        from mpo_core.losses.catalogue import CatalogueEntry, register_objective

        for point in objectives:
            _load(point, (CatalogueEntry, type), register_objective)


def _sorted(points: Iterable[EntryPoint]) -> list[EntryPoint]:
    """In an order that does not depend on the order of sys.path."""
    return sorted(points, key=lambda point: (_package(point), point.name))


def _package(point: EntryPoint) -> str:
    return point.dist.name if point.dist else "?"


def _load(point: EntryPoint, kinds: tuple[type, ...], register: Callable[[Any], None]) -> None:
    try:
        with contextlib.redirect_stdout(sys.stderr):  # what a package prints must not get into JSON
            for item in _items(point.load(), kinds):
                register(item)
    except (Exception, SystemExit) as error:
        said = " ".join(str(error).split()).rstrip(".")
        reason = said if isinstance(error, ValueError) and said else f"{type(error).__name__}: {said}".rstrip(": ")
        where = f"{point.name} = {point.value}"
        print(f"Warning: plug-in {_package(point)} ({point.group}: {where}) is skipped: {reason}.", file=sys.stderr)


def _items(found: object, kinds: tuple[type, ...]) -> list[Any]:
    """What an entry point names, or what the function that it names returns, as a list.

    Raises:
        ValueError: it is something else.
    """
    made = found() if callable(found) and not isinstance(found, type) else found
    items: list[Any] = list(made) if isinstance(made, Iterable) else [made]
    for item in items:
        if not isinstance(item, kinds):
            wanted = "a class" if kinds[0] is type else kinds[0].__name__
            raise ValueError(f"it gives {type(item).__name__!r} where {wanted} is wanted")
    return items
