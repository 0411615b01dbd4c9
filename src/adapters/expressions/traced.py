"""A traced loss as a formula, where nobody has written it as one: what acts on each row by itself."""

from adapters.expressions.graph import Node, trace_objective
from mpo_core.formula.expression import CONDITIONS, Definition, Expression, Formula, name, negative, number
from mpo_core.formula.quantities import ARGUMENTS
from mpo_core.objective.interface import AbstractObjective

SYMBOLS = {argument: symbol for symbol, argument in ARGUMENTS.items()}
SAME = {
    "add": "add", "sub": "sub", "mul": "mul", "div": "div", "exp": "exp", "log": "log", "logistic": "sigmoid",
    "tanh": "tanh", "max": "max", "min": "min", "abs": "abs", "sign": "sign", "sqrt": "sqrt", "relu": "relu",
    "lt": "lt", "gt": "gt", "le": "le", "ge": "ge", "eq": "eq", "ne": "ne", "pow": "pow", "stop_gradient": "sg",
}  # fmt: skip
LAYOUT = ("convert_element_type", "broadcast_in_dim", "reshape", "transpose", "squeeze", "copy")
LONG = 12
"""Parts of an expression beyond which it gets a name of its own."""


def traced_formula(objective: AbstractObjective) -> Formula:
    """The loss of a row, with definitions x1, x2, ... of what is long or used twice.

    Raises:
        ValueError: an operation acts on more than one row, or has no place in a formula.
    """
    try:
        return _Tracer(trace_objective(objective)).formula
    except NotImplementedError as error:
        raise ValueError(f"this loss has no formula: {error}") from None


class _Tracer:
    def __init__(self, out: Node):
        self._uses: dict[int, int] = {}
        self._known: dict[int, Expression] = {}
        self._definitions: list[Definition] = []
        self._count(out)
        self._out = out
        loss = self._expression(out)
        self.formula = Formula(loss, tuple(self._definitions))

    def _count(self, node: Node) -> None:
        self._uses[id(node)] = self._uses.get(id(node), 0) + 1
        if self._uses[id(node)] == 1:
            for one in node.inputs:
                self._count(one)

    def _expression(self, node: Node) -> Expression:
        if id(node) not in self._known:
            made = self._made(node)
            parts = sum(1 for _ in made.parts())
            named = node is not self._out and parts > 1 and made.op not in CONDITIONS
            if named and (self._uses[id(node)] > 1 or parts > LONG):
                self._definitions.append(Definition(f"x{len(self._definitions) + 1}", made))
                made = name(self._definitions[-1].name)
            self._known[id(node)] = made
        return self._known[id(node)]

    def _made(self, node: Node) -> Expression:
        if node.op == "input":
            return name(SYMBOLS[node.value])
        if node.op == "literal":
            if node.shape:
                raise NotImplementedError("it holds a table of numbers")
            return number(float(node.value))
        if node.op in LAYOUT and len(node.inputs) == 1:
            return self._expression(node.inputs[0])
        given = [self._expression(one) for one in node.inputs]
        if node.op in SAME:
            return Expression(SAME[node.op], tuple(given))
        return self._special(node, given)

    def _special(self, node: Node, given: list[Expression]) -> Expression:
        one, zero, unit = given[0] if given else number(0.0), number(0.0), number(1.0)
        if node.op == "neg":
            return negative(one)
        if node.op in ("integer_pow", "square"):
            return Expression("pow", (one, number(float(node.params.get("y", 2)))))
        if node.op == "log1p":
            return Expression("log", (Expression("add", (unit, one)),))
        if node.op == "expm1":
            return Expression("sub", (Expression("exp", (one,)), unit))
        if node.op == "logaddexp" and given[1] == zero:
            return Expression("softplus", (one,))
        if node.op == "select_n" and len(given) == 3 and one.op in CONDITIONS:
            return Expression("if", (one, given[2], given[1]))
        raise NotImplementedError(f"{node.op} acts on more than a row, or is no plain function")
