"""Increasing functions with learned parameters: monotone for every parameter vector, zero at the start, yet alive."""

import enum

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from mpo_core.mirror.maps import AbstractMap
from mpo_core.objective import Scalar
from mpo_core.pair_log_probs import MAX_LOG_PROB

MAX_EXPONENT = 3.0
"""Features that grow exponentially go on as straight lines beyond this exponent: tame on sums over a trajectory too."""


class Domain(enum.Enum):
    """What a network's input is: it decides the features."""

    LOG_PROB = "log_prob"
    """Log-probabilities, in (-inf, 0]: the input of phi_inv and g."""
    BRACKET = "bracket"
    """A difference of phi_inv, on the whole line: the input of psi."""


def _log_odds(x: Array) -> Array:
    clamped = jnp.minimum(x, MAX_LOG_PROB)
    return x - jnp.log(-jnp.expm1(clamped))


def tame_exp(x: Array) -> Array:
    """e^x, a straight line beyond `MAX_EXPONENT`."""
    below = jnp.minimum(x, MAX_EXPONENT)
    return jnp.exp(below) * (1 + (x - below))


def _tsallis(x: Array) -> Array:
    """-(e^(-x/4) - 1) * 4: the map of AlphaPO at alpha 1/4, a straight line where it grows steep."""
    return -4 * (tame_exp(-x / 4) - 1)


def _identity(x: Array) -> Array:
    return x


def _falling_softplus(x: Array) -> Array:
    return -jax.nn.softplus(-x)


# (feature, slope and offset of its argument at the start) of each hidden unit
_LOG_PROB_UNITS = (
    (_identity, 1.0, 0.0),
    (_log_odds, 1.0, 0.0),
    (_tsallis, 1.0, 0.0),
    (jnp.exp, 1.0, 0.0),
    (jnp.tanh, 0.5, 1.5),
    (_falling_softplus, 1.0, 4.0),
)
_BRACKET_UNITS = (
    (_identity, 1.0, 0.0),
    (jnp.tanh, 0.5, 0.0),
    (jnp.tanh, 2.0, 0.0),
    (jax.nn.softplus, 1.0, 0.0),
    (_falling_softplus, 1.0, 0.0),
    (_falling_softplus, 3.0, -1.0),
    (_falling_softplus, 3.0, 3.0),
)
_UNITS = {Domain.LOG_PROB: _LOG_PROB_UNITS, Domain.BRACKET: _BRACKET_UNITS}


def hats(progress: Scalar, knots: int) -> Float[Array, " knot"]:
    """Piecewise-linear basis over training progress: 1 at the own knot, 0 at the others, summing to 1."""
    if knots == 1:
        return jnp.ones(1)
    place = jnp.asarray(progress) * (knots - 1)
    return jnp.maximum(0.0, 1.0 - jnp.abs(place - jnp.arange(knots)))


def amplitude(log_knots: Float[Array, " knot"], progress: Scalar) -> Float[Array, ""]:
    """e^y, where y is linear in progress between equally spaced knots and cut off at -8 and 8."""
    return jnp.exp(jnp.clip(log_knots @ hats(progress, log_knots.shape[0]), -8.0, 8.0))


class MonotoneNetwork(AbstractMap):
    """sum_j relu(w_j(t)) f_j(e^(s_j) a_j x + b_j), every f_j increasing: increasing in x whatever the parameters.

    All learned parameters (w, s) are zero at the start, and so is the function. Unlike theta^2 or |theta|, relu
    makes the members at +eps and -eps of a weight differ, so that an antithetic search sees a gradient (our
    reconstruction; the paper's networks are not available).
    """

    weight: Float[Array, "unit knot"]
    """Output weights before relu, at each knot of training progress."""
    log_slope: Float[Array, " unit"]
    domain: Domain = eqx.field(static=True)

    def __call__(self, x: Float[Array, "*any"], progress: Scalar) -> Float[Array, "*any"]:
        weight = jax.nn.relu(self.weight @ hats(progress, self.weight.shape[1]))
        total = jnp.zeros_like(x)
        for unit, (feature, slope, offset) in enumerate(_UNITS[self.domain]):
            learned_slope = jnp.exp(jnp.clip(self.log_slope[unit], -3.0, 3.0))
            total = total + weight[unit] * feature(learned_slope * slope * x + offset)
        return total

    @property
    def monotone(self) -> bool:
        """Always true, by construction."""
        return True


def monotone_network(domain: Domain, knots: int) -> MonotoneNetwork:
    """The network at the start of a search: zero everywhere.

    Args:
        domain: what its input is.
        knots: resolution over training progress; 1 is a network that does not see it.
    """
    units = len(_UNITS[domain])
    return MonotoneNetwork(jnp.zeros((units, knots)), jnp.zeros(units), domain)
