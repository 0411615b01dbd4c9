"""A formula as a tree that JSON can hold: numbers, names, and lists of an operation and its arguments."""

import json
from typing import Any

from mpo_core.formula.expression import Expression, Formula
from mpo_core.formula.quantities import ARGUMENTS, complete

SCHEMA_VERSION = 2


def formula_tree(formula: Formula) -> dict[str, Any]:
    """The loss of a row and the definitions that it uses, as docs/reference/expression.md has it."""
    whole = complete(formula)
    return {
        "format": "mpo-expression",
        "schema_version": SCHEMA_VERSION,
        "arguments": list(ARGUMENTS.values()),
        "loss": _tree(whole.loss),
        "definitions": {
            one.name: {"variable": one.variable, "body": _tree(one.body, one.variable)}
            for one in sorted(whole.definitions, key=lambda one: one.name)
        },
        "note": whole.note,
    }


def tree_text(value: dict[str, Any]) -> str:
    """JSON with an entry a line, and each expression in its line."""
    shown = []
    for key, inner in value.items():
        if key == "definitions":
            lines = ",\n".join(f"    {json.dumps(one)}: {json.dumps(body)}" for one, body in inner.items())
            shown.append(f'  "definitions": {{\n{lines}\n  }}' if inner else '  "definitions": {}')
        else:
            indent = None if key in ("loss", "arguments") else 2
            shown.append(f"  {json.dumps(key)}: " + json.dumps(inner, indent=indent).replace("\n", "\n  "))
    return "{\n" + ",\n".join(shown) + "\n}\n"


def _tree(one: Expression, variable: str | None = None) -> Any:
    if one.op == "number":
        return one.value
    if one.op == "name":
        return one.value if one.value == variable else ARGUMENTS.get(str(one.value), one.value)
    named = [one.value] if one.op in ("apply", "at") else []
    return [one.op, *named, *(_tree(part, variable) for part in one.args)]
