"""Increasing functions as sums of a few terms that fit on a line: what a learned map is distilled to.

A term is weight * r(t) * f(slope x + offset) with weight, slope > 0, r >= 0 a piecewise-linear function of training
progress and f one of `FEATURES`, all of which increase. A sum of terms therefore increases in x at every progress.
"""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from mpo_core.mirror.maps import AbstractMap
from mpo_core.mirror.monotone_network import amplitude, tame_exp
from mpo_core.objective.interface import Scalar, coefficient
from mpo_core.objective.stable import logit_of_log_prob, ramp


def _identity(u: Array) -> Array:
    return u


def _tsallis(u: Array) -> Array:
    return 1 - tame_exp(-u)


def _log_sigmoid(u: Array) -> Array:
    return -jax.nn.softplus(-u)


def _min_zero(u: Array) -> Array:
    return jnp.minimum(u, 0.0)


FEATURES: dict[str, Callable[[Array], Array]] = {
    "identity": _identity,
    "log_odds": logit_of_log_prob,
    "tsallis": _tsallis,
    "exp": tame_exp,
    "tanh": jnp.tanh,
    "softplus": jax.nn.softplus,
    "log_sigmoid": _log_sigmoid,
    "min_zero": _min_zero,
}
"""u; log(e^u / (1 - e^u)), of log-probs only; 1 - e^-u; e^u (both straight lines beyond the exponent 3); tanh u;
log(1 + e^u); -log(1 + e^-u); min(u, 0)."""
LOG_PROB_ONLY = ("log_odds",)
"""Features whose argument must not be positive."""


def _constant(progress: Scalar, knots: Array) -> Array:
    return jnp.ones(())


def _rise(progress: Scalar, knots: Array) -> Array:
    return ramp(progress, knots[0], knots[1])


def _fall(progress: Scalar, knots: Array) -> Array:
    return 1 - ramp(progress, knots[0], knots[1])


def _peak(progress: Scalar, knots: Array) -> Array:
    return jnp.minimum(ramp(progress, knots[0], knots[1]), 1 - ramp(progress, knots[1], knots[2]))


def _growth(progress: Scalar, knots: Array) -> Array:
    return amplitude(knots, progress)


TIME_SHAPES: dict[str, tuple[Callable[[Scalar, Array], Array], int]] = {
    "constant": (_constant, 0),
    "rise": (_rise, 2),
    "fall": (_fall, 2),
    "peak": (_peak, 3),
    "growth": (_growth, 3),
}
"""Functions of progress and how many knots each has: 1; from 0 at the first knot linearly to 1 at the second; from 1
to 0; up from 0 at the first knot to 1 at the second and down to 0 at the third; e^y, y linear between the knots at
progress 0, 1/2 and 1, as the amplitude of a learned map."""
KNOTS_OF_LOGS = ("growth",)
"""Shapes whose knots are logarithms rather than places in training, and need not be in order."""


def _knots(value: object) -> Array:
    return jnp.asarray(value, dtype=float)


class Term(AbstractMap):
    """weight r(t) f(slope x + offset)."""

    weight: Float[Array, ""] = eqx.field(converter=coefficient)
    feature: str = eqx.field(static=True)
    slope: Float[Array, ""] = eqx.field(converter=coefficient, default=1.0)
    offset: Float[Array, ""] = eqx.field(converter=coefficient, default=0.0)
    shape: str = eqx.field(static=True, default="constant")
    knots: Float[Array, " knot"] = eqx.field(converter=_knots, default=())

    def __call__(self, x: Float[Array, "*any"], progress: Scalar) -> Float[Array, "*any"]:
        """The term, applied to each element."""
        over_time = TIME_SHAPES[self.shape][0](progress, self.knots)
        return self.weight * over_time * FEATURES[self.feature](self.slope * x + self.offset)

    @property
    def monotone(self) -> bool:
        """Increases, as weight and slope are positive."""
        return True


class SumOfTerms(AbstractMap):
    """A sum of terms; of none, 0."""

    terms: tuple[Term, ...]

    def __call__(self, x: Float[Array, "*any"], progress: Scalar) -> Float[Array, "*any"]:
        """The sum."""
        total = jnp.zeros_like(x)
        for term in self.terms:
            total = total + term(x, progress)
        return total

    @property
    def monotone(self) -> bool:
        """Nowhere decreases, as no term does."""
        return True
