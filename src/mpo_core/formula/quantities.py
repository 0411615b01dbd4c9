"""The quantities of the notation, in terms of what a loss is given."""

import functools
from collections.abc import Mapping

from mpo_core.formula.expression import Definition, Expression, Formula, number
from mpo_core.formula.notation import Word, read_formula

ARGUMENTS = {
    "lw": "logp_chosen", "ll": "logp_rejected", "rw": "ref_chosen", "rl": "ref_rejected", "nw": "chosen_length",
    "nl": "rejected_length", "t": "progress", "m": "margin",
}  # fmt: skip
"""Symbols of the notation, and the names that exports give them."""
QUANTITIES = {
    "mw": "lw / nw", "ml": "ll / nl", "qw": "rw / nw", "ql": "rl / nl", "a": "lw - rw", "b": "ll - rl", "A": "a / nw",
    "B": "b / nl", "D": "a - b", "P": "lw - ll", "q_g": "1", "share_g": "1",
}  # fmt: skip
"""Derived ones; q_g and share_g are 1 where rows have no groups."""


@functools.cache
def quantity(symbol: str) -> Expression:
    """What a derived quantity is."""
    return read_formula(QUANTITIES[symbol]).loss


def with_settings(text: str, settings: Mapping[str, Word]) -> Formula:
    """A card's formula with its settings as definitions: numbers, but those that a definition stands for.

    Raises:
        ValueError: it is not in the notation, or uses a name that is no setting, quantity or definition.
    """
    formula = read_formula(text, settings)
    values = {key: float(value) for key, value in settings.items() if isinstance(value, float | int)}
    started = tuple(_started(one, values) for one in formula.definitions)
    own = {one.name for one in started}
    given = tuple(Definition(key, number(value)) for key, value in values.items() if key not in own)
    made = Formula(formula.loss, started + given, formula.note)
    unknown = _unknown(made)
    if unknown:
        raise ValueError(f"formula {text!r}: {unknown[0]!r} is no setting, quantity or definition")
    return made


def complete(formula: Formula) -> Formula:
    """With definitions of all the quantities that it uses, and without those of names that it does not."""
    known = {one.name: one for one in formula.definitions}
    wanted, reached = formula.loss.names(), dict[str, Definition]()
    while wanted:
        one = wanted.pop()
        if one in reached or (one not in known and one not in QUANTITIES):
            continue
        reached[one] = known.get(one) or Definition(one, _apart(quantity(one), set(known)))
        wanted += reached[one].body.names()
    return Formula(formula.loss, tuple(reached.values()), formula.note)


def _apart(body: Expression, taken: set[str]) -> Expression:
    """What a quantity is, without the quantities whose names a formula has for something else."""
    return body.substituted({one: _apart(quantity(one), taken) for one in taken & set(QUANTITIES) & set(body.names())})


def _started(one: Definition, values: dict[str, float]) -> Definition:
    """A moving average with the setting of its name as its start."""
    if one.body.op != "ema":
        return one
    return Definition(one.name, Expression("ema", (number(values[one.name]), *one.body.args[1:])))


def _unknown(formula: Formula) -> list[str]:
    known = {one.name for one in formula.definitions} | set(ARGUMENTS) | set(QUANTITIES)
    variables = {one.variable for one in formula.definitions if one.variable}
    return [used for body in formula.bodies() for used in body.names() if used not in known | variables]
