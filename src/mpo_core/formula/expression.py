"""Expressions of a row's loss, and formulas: an expression with the definitions that it uses."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping

FUNCTIONS = {
    "log": "natural logarithm", "sigmoid": "1 / (1 + e^-x)", "softplus": "log(1 + e^x)", "relu": "max(x, 0)",
    "logit": "log(p / (1 - p))", "tanh": "hyperbolic tangent", "sqrt": "square root", "abs": "absolute value",
    "sign": "-1, 0 or 1", "sg": "x, without gradient", "min": "the smaller of two", "max": "the larger of two",
    "clip": "x between a low and a high end", "mean": "mean over the rows of the minibatch",
    "std": "square root of var", "var": "variance over the rows, divided by their number less one",
    "ranked": "the first, of that row which has the rank among the first that this row has among the second",
    "interpolate": "linear in the first, between the others at equal steps from 0 to 1",
    "ema": "moving average over the updates of the second, which starts at the first",
    "bernoulli_kl": "Kullback-Leibler divergence of coins that show heads with these probabilities",
}  # fmt: skip
"""Functions and what they are."""
ROWS = ("mean_over", "mean_others", "at")
"""Mean of an expression over rows j of the minibatch, or over those but the row itself; a name, of row j."""
CONDITIONS = ("lt", "gt", "le", "ge", "eq", "ne")
"""Comparisons, for `if`, which takes one and two branches; `apply` takes a defined function, by its name, and its
arguments."""


@dataclasses.dataclass(frozen=True)
class Expression:
    """An operation, a number, or a name; of numbers and names the arguments are empty."""

    op: str
    args: tuple["Expression", ...] = ()
    value: float | str = ""
    """Of a number, itself; of a name, `at` and `apply`, the name."""

    def parts(self) -> Iterator["Expression"]:
        """It and everything in it."""
        yield self
        for one in self.args:
            yield from one.parts()

    def mapped(self, change: Callable[["Expression"], "Expression"]) -> "Expression":
        """With a change made to every part, the innermost first."""
        return change(dataclasses.replace(self, args=tuple(one.mapped(change) for one in self.args)))

    def names(self) -> list[str]:
        """The names in it, as often as they stand there."""
        return [str(one.value) for one in self.parts() if one.op in ("name", "at", "apply")]

    def substituted(self, values: Mapping[str, "Expression"]) -> "Expression":
        """With expressions in place of names."""
        return self.mapped(lambda one: values.get(str(one.value), one) if one.op == "name" else one)


@dataclasses.dataclass(frozen=True)
class Definition:
    """A name, or a function of one variable."""

    name: str
    body: Expression
    variable: str | None = None


@dataclasses.dataclass(frozen=True)
class Formula:
    """The loss of a row, the definitions that it uses in no order, and a remark."""

    loss: Expression
    definitions: tuple[Definition, ...] = ()
    note: str = ""

    def bodies(self) -> list[Expression]:
        """The loss and what its definitions say."""
        return [self.loss, *(one.body for one in self.definitions)]

    def mapped(self, change: Callable[[Expression], Expression]) -> "Formula":
        """With a change made to every part."""
        made = tuple(dataclasses.replace(one, body=one.body.mapped(change)) for one in self.definitions)
        return dataclasses.replace(self, loss=self.loss.mapped(change), definitions=made)

    def uses(self, name: str) -> int:
        """How often a name stands in it."""
        return sum(body.names().count(name) for body in self.bodies())


def number(value: float) -> Expression:
    """A number."""
    return Expression("number", value=value)


def name(value: str) -> Expression:
    """A name."""
    return Expression("name", value=value)


def negative(one: Expression) -> Expression:
    """Minus an expression, its signs taken together."""
    if one.op == "neg":
        return one.args[0]
    if one.op == "number" and isinstance(one.value, float | int):
        return number(-one.value)
    return Expression("neg", (one,))


def total(terms: list[Expression]) -> Expression:
    """A sum; of nothing, 0."""
    if not terms:
        return number(0.0)
    found = terms[0]
    for term in terms[1:]:
        found = Expression("sub", (found, term.args[0])) if term.op == "neg" else Expression("add", (found, term))
    return found


def product(*factors: Expression) -> Expression:
    """A product, without factors that are 1."""
    found: Expression | None = None
    for one in factors:
        if one.op == "number" and one.value == 1:
            continue
        found = one if found is None else Expression("mul", (found, one))
    return number(1.0) if found is None else found
