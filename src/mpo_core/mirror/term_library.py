"""Candidate terms for a map: the forms it started from, the units of its network, and a grid of others."""

import dataclasses
import functools
import itertools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from mpo_core.mirror.closed_form import FEATURES, TIME_SHAPES, Term
from mpo_core.mirror.learned import LearnedMap
from mpo_core.mirror.maps import AbstractMap, FadeIn, FadeOut, Log, Logit, LogSigmoid, MinZero, Tsallis
from mpo_core.mirror.monotone_network import MAX_LOG_SLOPE, Domain, MonotoneNetwork

TimeShape = tuple[str, tuple[float, ...]]
CONSTANT: TimeShape = ("constant", ())
TIME_GRID: tuple[TimeShape, ...] = (
    ("rise", (0.0, 1.0)), ("fall", (0.0, 1.0)), ("rise", (0.0, 0.5)), ("rise", (0.5, 1.0)), ("fall", (0.0, 0.5)),
    ("fall", (0.5, 1.0)), ("peak", (0.0, 0.5, 1.0)), ("rise", (0.25, 0.75)), ("fall", (0.25, 0.75)),
)  # fmt: skip
NETWORK_UNITS: dict[Domain, tuple[tuple[str, float, float], ...]] = {
    Domain.LOG_PROB: (("identity", 1.0, 0.0), ("exp", 8.0, 0.0), ("log_sigmoid", 4.0, 1.0)),
    Domain.BRACKET: (("log_sigmoid", 4.0, 0.0), ("tanh", 4.0, -4.0), ("softplus", 4.0, -4.0)),
}
"""The units of `MonotoneNetwork` as features, with the slope and offset that they start from."""
SLOPES = (0.5, 1.0, 2.0)
CENTRES = (-4.0, -2.0, -1.0, 0.0, 1.0, 2.0)
"""Grid of slopes, and of the x at which a bent feature bends, in units of the realised range's scale."""


@dataclasses.dataclass(frozen=True)
class Candidate:
    """A term without its weight."""

    feature: str
    slope: float = 1.0
    offset: float = 0.0
    time: TimeShape = CONSTANT

    def term(self, weight: float) -> Term:
        """The term with a weight."""
        shape, knots = self.time
        return Term(weight, self.feature, self.slope, self.offset, shape, knots)


def candidates(
    map_: AbstractMap, domain: Domain, x: Float[np.ndarray, " sample"], *, temporal: bool
) -> tuple[Candidate, ...]:
    """All terms to choose from, each once; the plainest come first, and win where two do equally well.

    Args:
        map_: what is to be distilled: the forms in it are candidates with their own numbers.
        x: realised inputs of the map: their scale is that of the grid.
        temporal: whether terms may change over training where the closed form behind the map does not.
    """
    features = [*_own_features(map_, domain), *_grid(domain, x)]
    times = [CONSTANT, *_own_times(map_), *(TIME_GRID if temporal else ())]
    made = (Candidate(*feature, time) for time, feature in itertools.product(times, features))
    return tuple(dict.fromkeys(made))


def derivatives(
    library: tuple[Candidate, ...], x: Float[np.ndarray, " sample"], progress: Float[np.ndarray, " sample"]
) -> Float[np.ndarray, "sample candidate"]:
    """The slope of each candidate, at weight 1, at realised inputs. Double precision."""
    arguments: dict[str, list[tuple[float, float]]] = {}
    for one in library:
        arguments.setdefault(one.feature, []).append((one.slope, one.offset))
    with jax.enable_x64(True):
        over_x = {feature: _slopes(feature, list(dict.fromkeys(given)), x) for feature, given in arguments.items()}
        over_t = {time: _over_time(time, progress) for time in dict.fromkeys(one.time for one in library)}
    return np.stack([over_x[one.feature][one.slope, one.offset] * over_t[one.time] for one in library], axis=1)


def _slopes(feature: str, given: list[tuple[float, float]], x: np.ndarray) -> dict[tuple[float, float], np.ndarray]:
    """The slope of a feature at each pair of slope and offset."""
    slope, offset = np.array(given).T
    at = slope[:, None] * np.asarray(x, float) + offset[:, None]
    found = np.asarray(_derivative(FEATURES[feature])(at.ravel())).reshape(at.shape)
    return dict(zip(given, slope[:, None] * found, strict=True))


@functools.cache
def _derivative(feature: Callable) -> Callable:
    return jax.jit(jax.vmap(jax.grad(feature)))


def _over_time(time: TimeShape, progress: np.ndarray) -> np.ndarray:
    shape, knots = time
    of_progress, given = TIME_SHAPES[shape][0], jnp.asarray(knots, float)
    return np.asarray(jax.jit(jax.vmap(lambda t: of_progress(t, given)))(jnp.asarray(progress, float)))


def _grid(domain: Domain, x: np.ndarray) -> list[tuple[str, float, float]]:
    scale = _scale(x)
    found = [("identity", 1.0, 0.0)]
    if domain is Domain.LOG_PROB:
        found += [("log_odds", slope, 0.0) for slope in (1.0, 0.5, 2.0)]
        found += [("exp", slope / scale, 0.0) for slope in SLOPES]
        found += [("tsallis", slope / scale, 0.0) for slope in (0.125, 0.25, 0.5, 1.0)]
    low, high = x.min() - scale, x.max() + scale
    bends = [centre * scale for centre in CENTRES if low <= centre * scale <= high]
    bent = ("log_sigmoid", "tanh", "softplus")
    found += [(f, s / scale, -s / scale * c) for f, s, c in itertools.product(bent, SLOPES, bends)]
    found += [("min_zero", 1.0, -centre) for centre in bends]
    return [(feature, _rounded(slope), _rounded(offset)) for feature, slope, offset in found]


def _scale(x: np.ndarray) -> float:
    """1 where the inputs spread over a few units, as means over tokens do; else a power of ten of that size."""
    spread = float(np.quantile(x, 0.95) - np.quantile(x, 0.05))
    return 1.0 if 0.3 <= spread <= 30 or spread == 0 else 10.0 ** round(np.log10(spread / 3))


def _own_features(map_: AbstractMap, domain: Domain) -> list[tuple[str, float, float]]:
    """The forms in a map, with its own numbers to a few digits."""
    if isinstance(map_, LearnedMap):
        return [*_own_features(map_.start, domain), *_units_of(map_.network, domain)]
    if isinstance(map_, FadeIn | FadeOut):
        return _own_features(map_.inner, domain)
    return [(name, _rounded(slope, 6), _rounded(offset, 6)) for name, slope, offset in _form_of(map_)]


def _units_of(network: MonotoneNetwork, domain: Domain) -> list[tuple[str, float, float]]:
    """The units of a network where it has moved them."""
    learned = np.exp(np.clip(np.asarray(network.log_slope, float), -MAX_LOG_SLOPE, MAX_LOG_SLOPE))
    moved, centre, width = np.asarray(network.offset, float), float(network.centre), float(network.width)
    found = []
    for (feature, slope, offset), factor, further in zip(NETWORK_UNITS[domain], learned, moved, strict=True):
        if feature == "identity":
            found.append((feature, 1.0, 0.0))
        else:
            steep = _rounded(slope * factor / width, 4)
            found.append((feature, steep, _rounded(offset + further - steep * centre, 6)))
    return found


def _form_of(map_: Any) -> list[tuple[str, float, float]]:
    """A known closed form as a feature; a form that has none gives none."""
    if isinstance(map_, Log):
        return [("identity", 1.0, 0.0)]
    if isinstance(map_, Logit):
        return [("log_odds", 1.0, 0.0)]
    if isinstance(map_, LogSigmoid) and float(map_.scale) > 0:
        return [("log_sigmoid", float(map_.scale), -float(map_.shift))]
    if isinstance(map_, Tsallis) and float(map_.alpha) > 0:
        return [("tsallis", float(map_.alpha), 0.0)]
    if isinstance(map_, MinZero):
        return [("min_zero", 1.0, -float(map_.shift))]
    return []


def _own_times(map_: AbstractMap) -> list[TimeShape]:
    if isinstance(map_, LearnedMap):
        knots = np.asarray(map_.log_amplitude, float)
        grown = (
            [("growth", tuple(_rounded(float(knot), 6) for knot in knots))]
            if len(knots) == TIME_SHAPES["growth"][1]
            else []
        )
        return [*grown, *_own_times(map_.start), *_unit_times(np.asarray(map_.network.weight, float))]
    if isinstance(map_, FadeIn | FadeOut):
        knots = (_rounded(float(map_.start), 6), _rounded(float(map_.stop), 6))
        return [("rise" if isinstance(map_, FadeIn) else "fall", knots), *_own_times(map_.inner)]
    return []


def _unit_times(weight: np.ndarray) -> list[TimeShape]:
    """Where in training each hidden unit comes and goes: its weight is linear between knots, and cut off below 0."""
    knots = np.linspace(0.0, 1.0, weight.shape[1])
    found: list[TimeShape] = []
    for unit in weight:
        born, dies = 0.0, 1.0
        for low, high, first, last in zip(knots, knots[1:], unit, unit[1:], strict=False):
            if first * last < 0:
                crossing = _rounded(low + (high - low) * first / (first - last))
                found.append(("fall", (low, crossing)) if first > 0 else ("rise", (crossing, high)))
                born, dies = (born, crossing) if first > 0 else (crossing, dies)
        if weight.shape[1] == 3 and unit[1] > 0 and (born, dies) != (0.0, 1.0):
            found.append(("peak", (born, 0.5, dies)))
    return found


def _rounded(value: float, digits: int = 3) -> float:
    return float(f"{value:.{digits}g}") + 0.0  # no -0.0
