"""What a traced program does and holds."""

from collections.abc import Iterator
from typing import Any

import jax


def equations(jaxpr: Any) -> Iterator[Any]:
    """All equations of a program, those within its scans, branches and calls among them."""
    for equation in jaxpr.eqns:
        yield equation
        for parameter in equation.params.values():
            for inner in jax.tree.leaves(parameter, is_leaf=_program):
                if _program(inner):
                    yield from equations(getattr(inner, "jaxpr", inner))


def intermediates(jaxpr: Any) -> Iterator[Any]:
    """Shapes and types of all that a program makes on its way."""
    for equation in equations(jaxpr):
        yield from (value.aval for value in equation.outvars if hasattr(value.aval, "size"))


def _program(value: Any) -> bool:
    return hasattr(value, "eqns") or hasattr(getattr(value, "jaxpr", None), "eqns")
