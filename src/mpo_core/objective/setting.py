"""Settings of an objective: what stands in its class for each of its hyper-parameters."""

import dataclasses
import functools
import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, ArrayLike

from mpo_core.objective.domain import Domain

HALF_DECADE = 10**0.5
_KEY = "mpo_setting"


@dataclasses.dataclass(frozen=True)
class SearchRange:
    """Where a tuner searches a setting, at the scale that it was published for.

    Where the published default is an end of the published grid, the range goes half a decade beyond it.
    """

    low: float
    high: float
    scale: Literal["sum", "mean", "none"] = "none"
    """What the setting multiplies: sums over a trajectory (a tuner divides the range by tokens / 100), means over its
    tokens, or neither."""
    log: bool = False
    """Whether it is searched on a logarithmic scale."""


@dataclasses.dataclass(frozen=True)
class NumberSetting:
    """What a field made by `setting` says of itself."""

    domain: Domain
    search: SearchRange | None


def coefficient(value: ArrayLike) -> Array:
    """Converter of hyper-parameters: a float array, so that a sweep over it is a `vmap`."""
    array = jnp.asarray(value)
    return array if jnp.issubdtype(array.dtype, jnp.floating) else array.astype(float)


def _optional_coefficient(value: ArrayLike | None) -> Array | None:
    return None if value is None else coefficient(value)


def setting(default: float | None, domain: Domain, search: SearchRange | None = None) -> Any:
    """A field that holds one number, an array leaf of shape ().

    Args:
        default: the published value; None: the setting may be left open.
        domain: the values that it may take; whoever makes the objective with another gets a `ValueError`.
        search: where `mpo tune` searches; None: it is not tuned.
    """
    return eqx.field(
        converter=_optional_coefficient if default is None else coefficient,
        default=default,
        metadata={_KEY: NumberSetting(domain, search)},
    )


def around(value: float, scale: Literal["sum", "mean", "none"] = "none", log: bool = True) -> SearchRange:
    """Half a decade to either side of the one value that was published."""
    return SearchRange(value / HALF_DECADE, value * HALF_DECADE, scale, log)


@functools.cache
def number_settings(kind: type) -> Mapping[str, NumberSetting]:
    """The fields of a class that `setting` made, by name."""
    fields = dataclasses.fields(kind) if dataclasses.is_dataclass(kind) else ()
    return MappingProxyType({field.name: field.metadata[_KEY] for field in fields if _KEY in field.metadata})


def fault_of_number(value: object, domain: Domain | None) -> str | None:
    """What is wrong with a value for a setting, as the end of a sentence; None if nothing is.

    Traced values pass, whatever they will be.

    Args:
        value: of any kind.
        domain: None: any finite number will do.
    """
    if isinstance(value, bool) or not (hasattr(value, "__array__") or isinstance(value, int | float)):
        return f"is a finite number, not {value!r}"
    array: Any = value if hasattr(value, "__array__") else np.float64(_held(value))
    if not (jnp.issubdtype(array.dtype, jnp.floating) or jnp.issubdtype(array.dtype, jnp.integer)):
        return f"is a finite number, not {value!r}"
    if array.shape:
        return f"is one number, not an array of shape {array.shape}"
    if isinstance(array, Tracer):
        return None
    number = float(array)
    shown = repr(value) if isinstance(value, int | float) else f"{number:.7g}"
    if not math.isfinite(number):
        return f"is a finite number, not {shown}"
    return None if domain is None or number in domain else f"must be {domain}, not {shown}"


def _held(value: Any) -> float:
    """A Python number as a float; an integer too large for one is infinite."""
    try:
        return float(value)
    except OverflowError:
        return math.inf
