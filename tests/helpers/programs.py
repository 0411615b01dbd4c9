"""What a traced program holds."""

from collections.abc import Iterator
from typing import Any

import jax


def intermediates(jaxpr: Any) -> Iterator[Any]:
    """Shapes and types of all that a program makes, and of what is made within its scans, branches and calls."""
    for equation in jaxpr.eqns:
        for value in equation.outvars:
            if hasattr(value.aval, "size"):
                yield value.aval
        for parameter in equation.params.values():
            for inner in jax.tree.leaves(parameter, is_leaf=_program):
                if _program(inner):
                    yield from intermediates(getattr(inner, "jaxpr", inner))


def _program(value: Any) -> bool:
    return hasattr(value, "eqns") or hasattr(getattr(value, "jaxpr", None), "eqns")
