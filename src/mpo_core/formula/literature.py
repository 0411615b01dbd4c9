"""A formula as papers write it: -log sigmoid for softplus, signs drawn to the front, short definitions put in place."""

import dataclasses

from mpo_core.formula.expression import Expression, Formula, negative, number
from mpo_core.formula.quantities import QUANTITIES, complete

PLAIN = ("mw", "ml", "qw", "ql", "q_g", "share_g")
"""Quantities with a plain form of their own."""
SUMS = ("D", "P")
"""Differences of two quantities, which are put in place where they stand once."""


def as_published(formula: Formula) -> Formula:
    """The same loss, written as papers do; numbers of settings stay out of it, as their symbols say more."""
    whole = complete(formula)
    kept = tuple(one for one in whole.definitions if one.body.op != "number" or one.variable)
    found = Formula(whole.loss, kept, whole.note)
    for one in (*SUMS, "a", "b", "A", "B"):
        if found.uses(one) == 1 and not _of_other_rows(found, one):
            found = _in_place(found, one)
    for one in [one.name for one in found.definitions if one.body.op == "name" and not one.variable]:
        found = _in_place(found, one)
    kept = tuple(one for one in found.definitions if one.name not in PLAIN)
    order = _order(found)
    kept = tuple(sorted(kept, key=lambda one: (one.name in QUANTITIES, order.index(one.name))))
    found = dataclasses.replace(found, definitions=kept)
    return found.mapped(_logarithm).mapped(_sign)


def _of_other_rows(formula: Formula, name: str) -> bool:
    return any(one.op == "at" and one.value == name for body in formula.bodies() for one in body.parts())


def _order(formula: Formula) -> list[str]:
    """Names as the loss uses them, then as their definitions do."""
    known = {one.name: one.body for one in formula.definitions}
    found: list[str] = []
    waiting = formula.loss.names()
    while waiting:
        one = waiting.pop(0)
        if one in known and one not in found:
            found.append(one)
            waiting += known[one].names()
    return found


def _in_place(formula: Formula, name: str) -> Formula:
    """Without a definition, which is written where its name stood."""
    bodies = {one.name: one.body for one in formula.definitions if one.name == name and not one.variable}
    others = tuple(
        dataclasses.replace(one, body=one.body.substituted(bodies))
        for one in formula.definitions
        if one.name not in bodies
    )
    return Formula(formula.loss.substituted(bodies), others, formula.note)


def _logarithm(one: Expression) -> Expression:
    """softplus(x) as -log sigmoid(-x)."""
    if one.op != "softplus":
        return one
    return Expression("neg", (Expression("log", (Expression("sigmoid", (_minus(one.args[0]),)),)),))


def _minus(one: Expression) -> Expression:
    """Minus an expression, with the sign where it reads best."""
    if one.op == "sub":
        return Expression("sub", (one.args[1], one.args[0]))
    if one.op in ("mul", "div") and _minus(one.args[0]).op != "neg":
        return dataclasses.replace(one, args=(_minus(one.args[0]), *one.args[1:]))
    return negative(one)


def _sign(one: Expression) -> Expression:
    """Signs out of products, means and into sums; numbers before the rest."""
    if one.op in ("mul", "div"):
        (minus, left), (other, right) = map(_unsigned, one.args)
        plain = _numbers_first(Expression(one.op, (left, right)))
        return Expression("neg", (plain,)) if minus != other else plain
    if one.op in ("mean_over", "mean_others") and one.args[0].op == "neg":
        return Expression("neg", (Expression(one.op, one.args[0].args),))
    if one.op == "neg":
        return _minus(one.args[0]) if one.args[0].op in ("neg", "sub", "number") else one
    if one.op in ("add", "sub") and one.args[1].op == "neg":
        opposite = "sub" if one.op == "add" else "add"
        return _sign(Expression(opposite, (one.args[0], one.args[1].args[0])))
    if one.op == "add" and one.args[0].op == "neg" and one.args[1].op not in ("neg", "mul", "div", "log"):
        return Expression("sub", (one.args[1], one.args[0].args[0]))
    return one


def _unsigned(one: Expression) -> tuple[bool, Expression]:
    """Whether a factor is minus something, and what."""
    if one.op == "neg":
        return True, one.args[0]
    if one.op == "sub" and one.args[0].op == "neg":
        return True, Expression("add", (one.args[0].args[0], one.args[1]))
    return False, one


def _numbers_first(one: Expression) -> Expression:
    """x (2 y) as 2 x y, and 3 (2 y) as 6 y."""
    left, right = one.args
    if one.op != "mul" or right.op != "mul" or right.args[0].op != "number":
        return one
    if left.op == "number":
        return Expression("mul", (number(float(left.value) * float(right.args[0].value)), right.args[1]))
    return Expression("mul", (Expression("mul", (right.args[0], left)), right.args[1]))
