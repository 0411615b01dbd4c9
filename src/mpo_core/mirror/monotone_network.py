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


def _tame_exp(x: Array) -> Array:
    below = jnp.minimum(x, MAX_EXPONENT)
    return jnp.exp(below) * (1 + (x - below))


def _tsallis(x: Array) -> Array:
    """-(e^(-x/4) - 1) * 4: the map of AlphaPO at alpha 1/4, a straight line where it grows steep."""
    return -4 * (_tame_exp(-x / 4) - 1)


# (feature, slope of its argument, offset of its argument) of each hidden unit, at the start
_LOG_PROB_UNITS = (
    (lambda x: x, 1.0, 0.0),
    (_log_odds, 1.0, 0.0),
    (_tsallis, 1.0, 0.0),
    (jnp.exp, 1.0, 0.0),
    (jnp.tanh, 1.0, 1.5),
    (jnp.tanh, 0.5, 2.0),
    (jax.nn.softplus, 2.0, 6.0),
    (lambda x: -jax.nn.softplus(-x), 1.0, 4.0),
)
_BRACKET_UNITS = (
    (lambda x: x, 1.0, 0.0),
    (jnp.tanh, 0.3, 0.0),
    (jnp.tanh, 1.0, 0.0),
    (jnp.tanh, 3.0, 0.0),
    (jax.nn.softplus, 1.0, -1.0),
    (jax.nn.softplus, 3.0, 0.0),
    (lambda x: -jax.nn.softplus(-x), 1.0, 1.0),
    (lambda x: -jax.nn.softplus(-x), 3.0, 0.0),
)
_UNITS = {Domain.LOG_PROB: _LOG_PROB_UNITS, Domain.BRACKET: _BRACKET_UNITS}


def hats(progress: Scalar, knots: int) -> Float[Array, " knot"]:
    """Piecewise-linear basis over training progress: 1 at the own knot, 0 at the others, summing to 1."""
    if knots == 1:
        return jnp.ones(1)
    place = jnp.asarray(progress) * (knots - 1)
    return jnp.maximum(0.0, 1.0 - jnp.abs(place - jnp.arange(knots)))


class MonotoneNetwork(AbstractMap):
    """sum_j relu(w_j(t)) f_j(e^(s_j) a_j x + b_j + o_j), every f_j increasing: increasing in x whatever the parameters.

    All learned parameters (w, s, o) are zero at the start, and so is the function. Unlike theta^2 or |theta|, relu
    makes the members at +eps and -eps of a weight differ, so that an antithetic search sees a gradient (our
    reconstruction; the paper's networks are not available).
    """

    weight: Float[Array, "unit knot"]
    """Output weights before relu, at each knot of training progress."""
    log_slope: Float[Array, " unit"]
    offset: Float[Array, " unit"]
    domain: Domain = eqx.field(static=True)

    def __call__(self, x: Float[Array, "*any"], progress: Scalar) -> Float[Array, "*any"]:
        weight = jax.nn.relu(self.weight @ hats(progress, self.weight.shape[1]))
        total = jnp.zeros_like(x)
        for unit, (feature, slope, offset) in enumerate(_UNITS[self.domain]):
            learned_slope = jnp.exp(jnp.clip(self.log_slope[unit], -3.0, 3.0))
            if feature is _log_odds or feature is jnp.exp:  # only defined for log-probabilities: no offset
                argument = learned_slope * x
            else:
                argument = learned_slope * slope * x + offset + self.offset[unit]
            total = total + weight[unit] * feature(argument)
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
    return MonotoneNetwork(jnp.zeros((units, knots)), jnp.zeros(units), jnp.zeros(units), domain)
