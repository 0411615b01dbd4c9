"""A member of the mirror family as a formula: its three maps as functions of x, and t the progress of training.

A learned map is a closed form already: what it started from, and up to three units of its network. Those whose weight
is 0 throughout training are left out.
"""

import functools
from collections.abc import Callable

import numpy as np

from mpo_core.formula.expression import Definition, Expression, Formula, name, negative, number, product, total
from mpo_core.formula.notation import read_formula
from mpo_core.formula.quantities import with_settings
from mpo_core.mirror.closed_form import SumOfTerms, Term
from mpo_core.mirror.learned import LearnedMap
from mpo_core.mirror.maps import (
    AbstractMap,
    Excess,
    FadeIn,
    FadeOut,
    Log,
    Logit,
    LogSigmoid,
    MaxZero,
    MinZero,
    NegativeLoss,
    NegativeSquare,
    Tsallis,
    Zero,
)
from mpo_core.mirror.mirror_objective import MirrorObjective
from mpo_core.mirror.monotone_network import MAX_LOG_SLOPE, MonotoneNetwork
from mpo_core.mirror.term_library import NETWORK_UNITS
from mpo_core.objective.setting import number_settings

X, T = name("x"), name("t")
FEATURES = {
    "identity": "x", "log_odds": "logit(e^x)", "tsallis": "1 - tame_exp(-x)", "exp": "tame_exp(x)", "tanh": "tanh(x)",
    "softplus": "softplus(x)", "log_sigmoid": "-softplus(-x)", "min_zero": "min(x, 0)",
}  # fmt: skip
TAME_EXP = "0, tame_exp(x) = e^(min(x, 3)) (1 + x - min(x, 3))"
"""e^x, a straight line beyond 3."""


def formula_of_mirror(objective: MirrorObjective) -> Formula:
    """The loss -(psi(u, t) + g(w, t)), u the bracket, with psi, phi_inv and g as definitions.

    Raises:
        NotImplementedError: it has a map that is none of this package's.
    """
    mean = objective.bracket == "mean"
    sides = ("mw", "qw", "ml", "ql") if mean else ("lw", "rw", "ll", "rl")
    chosen, ref_chosen, rejected, ref_rejected = (_applied("phi_inv", name(one)) for one in sides)
    bracket = _minus(chosen, rejected)
    if objective.reference:
        bracket = _minus(_minus(chosen, ref_chosen), _minus(rejected, ref_rejected))
    imitated = name("mw" if objective.imitation == "mean" else "lw")
    maps = {one: expression_of_map(getattr(objective, one)) for one in ("phi_inv", "psi", "g")}
    parts = {"psi": _applied("psi", name("u")), "g": _applied("g", imitated)}
    loss = total([negative(parts[one]) for one in parts if maps[one] != number(0.0)])
    definitions = [Definition("u", bracket), *(Definition(one, body, "x") for one, body in maps.items())]
    if any("tame_exp" in body.names() for body in maps.values()):
        definitions += read_formula(TAME_EXP).definitions
    return Formula(loss, tuple(definitions))


def _applied(function: str, to: Expression) -> Expression:
    return Expression("apply", (to,), function)


def _minus(one: Expression, other: Expression) -> Expression:
    return Expression("sub", (one, other))


@functools.singledispatch
def expression_of_map(map_: AbstractMap) -> Expression:
    """A map as an expression in x and t."""
    raise NotImplementedError(f"no formula of the map {type(map_).__name__}")


@expression_of_map.register
def _(map_: Zero) -> Expression:
    return number(0.0)


@expression_of_map.register
def _(map_: Log) -> Expression:
    return _scaled(map_.scale, X)


@expression_of_map.register
def _(map_: Logit) -> Expression:
    return _scaled(map_.scale, _feature("log_odds", X))


@expression_of_map.register
def _(map_: Tsallis) -> Expression:
    alpha, scale = float(map_.alpha), float(map_.scale)
    if alpha == 0:
        return _scaled(scale, X)
    return _scaled(scale / alpha, _minus(number(1.0), Expression("exp", (product(number(-alpha), X),))))


@expression_of_map.register
def _(map_: LogSigmoid) -> Expression:
    return _scaled(map_.weight, _feature("log_sigmoid", _line(map_.scale, -float(map_.shift))))


@expression_of_map.register
def _(map_: Excess) -> Expression:
    floor, width = float(map_.floor), float(map_.width)
    return negative(_scaled(width, _feature("log_sigmoid", _line(-1 / width, floor / width))))


@expression_of_map.register
def _(map_: MaxZero) -> Expression:
    return negative(_scaled(map_.scale, _feature("min_zero", _line(-1.0, 0.0))))


@expression_of_map.register
def _(map_: MinZero) -> Expression:
    return _feature("min_zero", _line(1.0, -float(map_.shift)))


@expression_of_map.register
def _(map_: NegativeSquare) -> Expression:
    return negative(Expression("pow", (_line(1.0, -float(map_.target)), number(2.0))))


@expression_of_map.register
def _(map_: NegativeLoss) -> Expression:
    card = getattr(type(map_.loss), "card", None)
    if card is None:
        raise NotImplementedError(f"no formula of the loss {type(map_.loss).__name__}")
    values = {key: float(getattr(map_.loss, key)) for key in number_settings(type(map_.loss))}
    formula = with_settings(card.formula, values)
    inner = {one.name: one.body for one in formula.definitions if one.name != "u"} | {"u": X}
    body = formula.loss
    for _ in inner:  # definitions use each other
        body = body.substituted(inner)
    return negative(body)


@expression_of_map.register
def _(map_: FadeIn) -> Expression:
    return product(_ramp(float(map_.start), float(map_.stop)), expression_of_map(map_.inner))


@expression_of_map.register
def _(map_: FadeOut) -> Expression:
    return product(_minus(number(1.0), _ramp(float(map_.start), float(map_.stop))), expression_of_map(map_.inner))


@expression_of_map.register
def _(map_: SumOfTerms) -> Expression:
    return total([expression_of_map(term) for term in map_.terms])


@expression_of_map.register
def _(map_: Term) -> Expression:
    over_time = TIME[map_.shape]([float(one) for one in np.asarray(map_.knots)])
    return product(
        number(_value(map_.weight)), over_time, _feature(map_.feature, _line(map_.slope, float(map_.offset)))
    )


@expression_of_map.register
def _(map_: LearnedMap) -> Expression:
    start = expression_of_map(map_.start)
    grown = product(_growth([float(one) for one in np.asarray(map_.log_amplitude)]), start)
    units = _units(map_.network)
    return total([*([] if start == number(0.0) else [grown]), *units])


def _units(network: MonotoneNetwork) -> list[Expression]:
    """The units of a network that count for something."""
    slopes = np.exp(np.clip(np.asarray(network.log_slope, float), -MAX_LOG_SLOPE, MAX_LOG_SLOPE))
    weights, moved = np.asarray(network.weight, float), np.asarray(network.offset, float)
    scale, centre, width = float(network.scale), float(network.centre), float(network.width)
    found = []
    for unit, (feature, slope, offset) in enumerate(NETWORK_UNITS[network.domain]):
        steep = slope * slopes[unit] / width
        heights = scale * weights[unit] / steep
        if (weights[unit] <= 0).all():
            continue
        moved_to = float(offset + moved[unit] - steep * centre)
        if len(heights) == 1 and feature == "identity":
            found.append(_line(float(heights[0]) * steep, float(heights[0]) * moved_to))
            continue
        over_time = Expression("relu", (_interpolated(list(heights)),))
        if len(heights) == 1:
            over_time = number(float(heights[0]))
        found.append(product(over_time, _feature(feature, _line(steep, moved_to))))
    return found


def _scaled(factor: object, one: Expression) -> Expression:
    return product(number(_value(factor)), one)


def _value(of: object) -> float:
    return float(np.asarray(of))


def _line(slope: object, offset: float) -> Expression:
    """slope x + offset."""
    line = _scaled(slope, X)
    if offset == 0:
        return line
    return Expression("add", (line, number(offset))) if offset > 0 else _minus(line, number(-offset))


def _feature(feature: str, at: Expression) -> Expression:
    """A feature of a line; a known function of one variable, so applied as one."""
    body = read_formula(f"{FEATURES[feature]}, tame_exp(x) = x").loss
    return body.substituted({"x": at})


def _interpolated(knots: list[float]) -> Expression:
    return Expression("interpolate", (T, *(number(float(one)) for one in knots)))


def _growth(knots: list[float]) -> Expression:
    """e^y, y between the knots and within -8 and 8."""
    held = [min(max(one, -8.0), 8.0) for one in knots]
    if len(set(held)) == 1:
        return number(float(np.exp(held[0])))
    if held == knots:
        return Expression("exp", (_interpolated(knots),))
    return Expression("exp", (Expression("clip", (_interpolated(knots), number(-8.0), number(8.0))),))


def _ramp(start: float, stop: float) -> Expression:
    """From 0 at the start to 1 at the stop; a step where the two are equal."""
    if start == stop:
        return Expression("if", (Expression("lt", (T, number(start))), number(0.0), number(1.0)))
    if (start, stop) == (0.0, 1.0):  # progress itself lies in that range
        return T
    share = _minus(T, number(start)) if start else T
    share = share if stop - start == 1 else Expression("div", (share, number(stop - start)))
    return Expression("clip", (share, number(0.0), number(1.0)))


def _fall(start: float, stop: float) -> Expression:
    return _minus(number(1.0), _ramp(start, stop))


TIME: dict[str, Callable[[list[float]], Expression]] = {
    "constant": lambda knots: number(1.0),
    "rise": lambda knots: _ramp(*knots),
    "fall": lambda knots: _fall(*knots),
    "peak": lambda knots: Expression("min", (_ramp(knots[0], knots[1]), _fall(knots[1], knots[2]))),
    "growth": _growth,
}
"""The shapes of `closed_form.TIME_SHAPES`."""
