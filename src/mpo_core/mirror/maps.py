"""Closed forms of phi_inv, psi and g.

phi_inv and g are functions of a probability, evaluated in the log domain: their argument is x = log p. psi is a
function of the bracket u.
"""

from abc import abstractmethod

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from mpo_core.objective.interface import Scalar, coefficient
from mpo_core.objective.margin import AbstractMarginObjective
from mpo_core.objective.stable import (
    excess,
    logit_of_log_prob,
    negative_log_sigmoid,
    positive_part,
    ramp,
    tsallis_of_log_prob,
)


class AbstractMap(eqx.Module):
    """A function of one variable, and of training progress. Sub-classes are final; scales and weights are positive."""

    @abstractmethod
    def __call__(self, x: Float[Array, "*any"], progress: Scalar) -> Float[Array, "*any"]:
        """The function, applied to each element."""

    @property
    @abstractmethod
    def monotone(self) -> bool:
        """Whether it nowhere decreases in x."""


class Zero(AbstractMap):
    """0."""

    def __call__(self, x: Float[Array, "*any"], progress: Scalar) -> Float[Array, "*any"]:
        """0."""
        return jnp.zeros_like(x)

    @property
    def monotone(self) -> bool:
        """Nowhere decreases."""
        return True


class Log(AbstractMap):
    """scale log p."""

    scale: Float[Array, ""] = eqx.field(converter=coefficient, default=1.0)

    def __call__(self, x: Float[Array, "*any"], progress: Scalar) -> Float[Array, "*any"]:
        """scale x."""
        return self.scale * x

    @property
    def monotone(self) -> bool:
        """Increases."""
        return True


class Logit(AbstractMap):
    """scale logit(p), with log p clamped at `MAX_LOG_PROB`."""

    scale: Float[Array, ""] = eqx.field(converter=coefficient, default=1.0)

    def __call__(self, x: Float[Array, "*any"], progress: Scalar) -> Float[Array, "*any"]:
        """scale (x - log(1 - e^x))."""
        return self.scale * logit_of_log_prob(x)

    @property
    def monotone(self) -> bool:
        """Increases."""
        return True


class Tsallis(AbstractMap):
    """scale (1 - p^-alpha) / alpha; alpha = 0 is the logarithm."""

    alpha: Float[Array, ""] = eqx.field(converter=coefficient, default=0.5)
    scale: Float[Array, ""] = eqx.field(converter=coefficient, default=1.0)

    def __call__(self, x: Float[Array, "*any"], progress: Scalar) -> Float[Array, "*any"]:
        """scale (1 - e^(-alpha x)) / alpha."""
        return self.scale * tsallis_of_log_prob(x, self.alpha)

    @property
    def monotone(self) -> bool:
        """Increases."""
        return True


class LogSigmoid(AbstractMap):
    """weight log sigmoid(scale u - shift)."""

    weight: Float[Array, ""] = eqx.field(converter=coefficient, default=1.0)
    scale: Float[Array, ""] = eqx.field(converter=coefficient, default=1.0)
    shift: Float[Array, ""] = eqx.field(converter=coefficient, default=0.0)

    def __call__(self, x: Float[Array, "*any"], progress: Scalar) -> Float[Array, "*any"]:
        """-weight softplus(shift - scale u)."""
        return -self.weight * negative_log_sigmoid(self.scale * x - self.shift)

    @property
    def monotone(self) -> bool:
        """Increases."""
        return True


class Excess(AbstractMap):
    """width softplus((x - floor) / width): by how much x lies above a floor, 0 well below it."""

    floor: Float[Array, ""] = eqx.field(converter=coefficient, default=0.0)
    width: Float[Array, ""] = eqx.field(converter=coefficient, default=1.0)

    def __call__(self, x: Float[Array, "*any"], progress: Scalar) -> Float[Array, "*any"]:
        """width softplus((x - floor) / width)."""
        return excess(x, self.floor, self.width)

    @property
    def monotone(self) -> bool:
        """Increases."""
        return True


class MaxZero(AbstractMap):
    """scale max(0, u)."""

    scale: Float[Array, ""] = eqx.field(converter=coefficient, default=1.0)

    def __call__(self, x: Float[Array, "*any"], progress: Scalar) -> Float[Array, "*any"]:
        """scale max(0, u)."""
        return self.scale * positive_part(x)

    @property
    def monotone(self) -> bool:
        """Nowhere decreases."""
        return True


class MinZero(AbstractMap):
    """min(0, u - shift), the negative of a hinge."""

    shift: Float[Array, ""] = eqx.field(converter=coefficient, default=0.0)

    def __call__(self, x: Float[Array, "*any"], progress: Scalar) -> Float[Array, "*any"]:
        """min(0, u - shift)."""
        return jnp.minimum(x - self.shift, 0.0)

    @property
    def monotone(self) -> bool:
        """Nowhere decreases."""
        return True


class NegativeSquare(AbstractMap):
    """-(u - target)^2."""

    target: Float[Array, ""] = eqx.field(converter=coefficient, default=0.0)

    def __call__(self, x: Float[Array, "*any"], progress: Scalar) -> Float[Array, "*any"]:
        """-(u - target)^2."""
        return -jnp.square(x - self.target)

    @property
    def monotone(self) -> bool:
        """Decreases beyond the target."""
        return False


class NegativeLoss(AbstractMap):
    """-f(u), where f is the loss of an objective that is a function of its scaled margin alone."""

    loss: AbstractMarginObjective
    increasing: bool = eqx.field(static=True)
    """Whether -f nowhere decreases."""

    def __call__(self, x: Float[Array, "*any"], progress: Scalar) -> Float[Array, "*any"]:
        """-f(u)."""
        return -self.loss.of_margin(x)

    @property
    def monotone(self) -> bool:
        """As told."""
        return self.increasing


class FadeIn(AbstractMap):
    """Another map times r(t) = clip((t - start) / (stop - start), 0, 1)."""

    inner: AbstractMap
    start: Float[Array, ""] = eqx.field(converter=coefficient, default=0.0)
    stop: Float[Array, ""] = eqx.field(converter=coefficient, default=1.0)

    def __call__(self, x: Float[Array, "*any"], progress: Scalar) -> Float[Array, "*any"]:
        """r(t) times the map."""
        return ramp(progress, self.start, self.stop) * self.inner(x, progress)

    @property
    def monotone(self) -> bool:
        """As the map it scales."""
        return self.inner.monotone


class FadeOut(AbstractMap):
    """Another map times 1 - r(t), r(t) = clip((t - start) / (stop - start), 0, 1)."""

    inner: AbstractMap
    start: Float[Array, ""] = eqx.field(converter=coefficient, default=0.0)
    stop: Float[Array, ""] = eqx.field(converter=coefficient, default=1.0)

    def __call__(self, x: Float[Array, "*any"], progress: Scalar) -> Float[Array, "*any"]:
        """1 - r(t) times the map."""
        return (1 - ramp(progress, self.start, self.stop)) * self.inner(x, progress)

    @property
    def monotone(self) -> bool:
        """As the map it scales."""
        return self.inner.monotone
