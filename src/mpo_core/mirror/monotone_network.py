"""Increasing functions with learned parameters: monotone for every parameter vector, zero at the start, yet alive."""

import dataclasses
import enum

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from mpo_core.mirror.maps import AbstractMap
from mpo_core.objective.interface import Scalar

MAX_EXPONENT = 3.0
"""Features that grow exponentially go on as straight lines beyond this exponent: tame on sums over a trajectory too."""


class Domain(enum.Enum):
    """What a network's input is: it decides the features."""

    LOG_PROB = "log_prob"
    """Log-probabilities, in (-inf, 0]: the input of phi_inv and g."""
    BRACKET = "bracket"
    """A difference of phi_inv, on the whole line: the input of psi."""


def tame_exp(x: Array) -> Array:
    """e^x, a straight line beyond `MAX_EXPONENT`."""
    below = jnp.minimum(x, MAX_EXPONENT)
    return jnp.exp(below) * (1 + (x - below))


def _identity(x: Array) -> Array:
    return x


def _falling_softplus(x: Array) -> Array:
    return -jax.nn.softplus(-x)


# (feature, slope and offset of its argument at the start) of each hidden unit
_LOG_PROB_UNITS = (
    (_identity, 1.0, 0.0),
    (tame_exp, 8.0, 0.0),
    (_falling_softplus, 4.0, 1.0),
)
_BRACKET_UNITS = (
    (_falling_softplus, 4.0, 0.0),
    (jnp.tanh, 4.0, -4.0),
    (jax.nn.softplus, 4.0, -4.0),
)
_UNITS = {Domain.LOG_PROB: _LOG_PROB_UNITS, Domain.BRACKET: _BRACKET_UNITS}
MAX_LOG_SLOPE = 3.0
"""Learned slopes stay within this factor, as a logarithm, of where they start."""


def hats(progress: Scalar, knots: int) -> Float[Array, " knot"]:
    """Piecewise-linear basis over training progress: 1 at the own knot, 0 at the others, summing to 1."""
    if knots == 1:
        return jnp.ones(1)
    place = jnp.asarray(progress) * (knots - 1)
    return jnp.maximum(0.0, 1.0 - jnp.abs(place - jnp.arange(knots)))


def amplitude(log_knots: Float[Array, " knot"], progress: Scalar) -> Float[Array, ""]:
    """e^y, where y is linear in progress between equally spaced knots and cut off at -8 and 8."""
    return jnp.exp(jnp.clip(log_knots @ hats(progress, log_knots.shape[0]), -8.0, 8.0))


@dataclasses.dataclass(frozen=True)
class Frame:
    """Where the units of a network lie on its input's axis, and on what scale; not learned.

    For mean token log-probs under the policy that is to be improved: those of its own tokens lie at the centre, those
    of what it is to become a width below (our reconstruction).
    """

    centre: float = 0.0
    width: float = 1.0


UNIT_FRAME = Frame()


class MonotoneNetwork(AbstractMap):
    """scale sum_j relu(w_j(t)) f_j(k_j z + o_j + b_j) width / k_j; z = (x - centre) / width, k_j = e^(s_j) a_j.

    Every f_j increases, and so does the sum, whatever the parameters. The learned ones (w, s, b) are zero at the
    start, and so is the function. Unlike theta^2 or |theta|, relu makes the members at +eps and -eps of a weight
    differ, so that an antithetic search sees a gradient. A unit's weight is its steepest slope (of e^x: its slope at
    the centre), hence comparable to that of a closed form (our reconstruction; the paper's networks are not available).
    """

    weight: Float[Array, "unit knot"]
    """Output weights before relu, at each knot of training progress."""
    log_slope: Float[Array, " unit"]
    offset: Float[Array, " unit"]
    centre: Float[Array, ""]
    """As in `Frame`; not learned, like the width."""
    width: Float[Array, ""]
    scale: Float[Array, ""]
    """Factor on all of it; not learned."""
    domain: Domain = eqx.field(static=True)

    def __call__(self, x: Float[Array, "*any"], progress: Scalar) -> Float[Array, "*any"]:
        """The network, applied to each element."""
        weight = self.scale * jax.nn.relu(self.weight @ hats(progress, self.weight.shape[1]))
        total = jnp.zeros_like(x)
        for unit, (feature, slope, offset) in enumerate(_UNITS[self.domain]):
            steepness = slope * jnp.exp(jnp.clip(self.log_slope[unit], -MAX_LOG_SLOPE, MAX_LOG_SLOPE))
            at = steepness * (x - self.centre) / self.width + offset + self.offset[unit]
            total = total + weight[unit] * self.width / steepness * feature(at)
        return total

    @property
    def monotone(self) -> bool:
        """Always true, by construction."""
        return True


def monotone_network(domain: Domain, knots: int, frame: Frame = UNIT_FRAME) -> MonotoneNetwork:
    """The network at the start of a search: zero everywhere.

    Args:
        domain: what its input is.
        knots: resolution over training progress; 1 is a network that does not see it.
        frame: where its units lie.
    """
    units = jnp.zeros(len(_UNITS[domain]))
    weight = jnp.zeros((len(units), knots))
    centre, width = jnp.asarray(frame.centre, float), jnp.asarray(frame.width, float)
    return MonotoneNetwork(weight, units, units, centre, width, jnp.ones(()), domain)
