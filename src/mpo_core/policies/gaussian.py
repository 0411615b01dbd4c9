"""How likely a policy finds an action: a diagonal Gaussian whose tokens have probabilities in (0, 1]."""

import dataclasses
import math
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from mpo_core.arrays import AnyArray
from mpo_core.policies.policy import AbstractPolicy

DEFAULT_BIN_WIDTH = 0.1
ACTIVATIONS = {"relu": jax.nn.relu, "tanh": jnp.tanh, "swish": jax.nn.swish}


class Layer(eqx.Module):
    """An affine map `x @ kernel + bias`."""

    kernel: Float[AnyArray, "*batch input output"]
    bias: Float[AnyArray, "*batch output"]


class GaussianPolicy(AbstractPolicy):
    """Diagonal Gaussian over actions, not squashed, with a trained deviation that does not depend on the state.

    A token is one action dimension at one step. Its probability is its density times the bin width `w`; the deviation
    never falls under w / sqrt(2 pi), so that it lies in (0, 1] like that of a language-model token (our
    reconstruction). The observation normaliser is a frozen buffer.
    """

    observation_mean: Float[AnyArray, "*batch observation"]
    observation_std: Float[AnyArray, "*batch observation"]
    layers: tuple[Layer, ...]
    raw_scale: Float[AnyArray, "*batch action"]
    activation: str = eqx.field(static=True, default="relu")
    bin_width: float = eqx.field(static=True, default=DEFAULT_BIN_WIDTH)

    @property
    def scale_floor(self) -> float:
        """The smallest deviation, at which a token at the mode has probability 1."""
        return self.bin_width / math.sqrt(2 * math.pi)

    @property
    def scale(self) -> Float[AnyArray, "*batch action"]:
        """Standard deviation of each action dimension, in action units."""
        return self.scale_floor + jax.nn.softplus(self.raw_scale)

    @property
    def widths(self) -> tuple[int, ...]:
        """Outputs of each layer."""
        return tuple(layer.bias.shape[-1] for layer in self.layers)

    @property
    def step_flops(self) -> int:
        """6 a weight, but 4 in the first layer: there is no gradient of observations."""
        sizes = [layer.kernel.shape[-2:] for layer in self.layers]
        return 6 * sum(a * b for a, b in sizes) - 2 * sizes[0][0] * sizes[0][1]

    def begin(self, observation: Float[Array, "env observation"]) -> None:
        """It remembers nothing."""

    def act(
        self,
        observation: Float[Array, "env observation"],
        memory: None,
        noise: Float[Array, ""],
        key: Key[Array, " env"],
    ) -> tuple[Float[Array, "env action"], None]:
        """Actions of some envs: the mode, and `noise` deviations of a normal draw."""
        mode = jnp.asarray(self.mode(observation))
        normal = jax.vmap(partial(jax.random.normal, shape=mode.shape[1:]))(key)
        return mode + noise * self.scale * normal, None

    def mode(self, observation: Float[AnyArray, "*any observation"]) -> Float[AnyArray, "*any action"]:
        """The most likely action."""
        activation = ACTIVATIONS[self.activation]
        hidden = (observation - self.observation_mean) / self.observation_std
        for layer in self.layers[:-1]:
            hidden = activation(hidden @ layer.kernel + layer.bias)
        return hidden @ self.layers[-1].kernel + self.layers[-1].bias

    def step_log_prob(
        self, observation: Float[AnyArray, "*any observation"], action: Float[AnyArray, "*any action"]
    ) -> Float[AnyArray, "*any"]:
        """Sum of the token log-probabilities of one step; never positive."""
        scale = self.scale
        deviation = (action - self.mode(observation)) / scale
        at_mode = jnp.log(self.scale_floor / scale).sum()
        return at_mode - 0.5 * jnp.square(deviation).sum(-1)


def column_log_probs(
    policy: GaussianPolicy,
    observation: Float[Array, "observation step"],
    action: Float[Array, "action step"],
    precision: str = "default",
) -> Float[Array, " step"]:
    """`step_log_prob` of steps that are columns: the layout in which CPUs train fastest.

    With steps as rows, every product in a kernel's gradient has its large factor transposed first, which costs about as
    much as the product itself where kernels are narrow.

    Args:
        precision: of the products, one of `mpo_core.settings.PRECISIONS`; all else is float32.
    """
    hidden = (observation - policy.observation_mean[:, None]) / policy.observation_std[:, None]
    for layer in policy.layers[:-1]:
        hidden = ACTIVATIONS[policy.activation](_affine(layer.kernel, layer.bias, hidden, precision))
        hidden = hidden.astype(jnp.bfloat16) if precision == "bfloat16" else hidden
    scale, last = policy.scale, policy.layers[-1]
    mode: Array = _affine(last.kernel, last.bias, hidden, precision)  # type: ignore[assignment]
    deviation = (action - mode) / scale[:, None]
    return jnp.log(policy.scale_floor / scale).sum() - 0.5 * jnp.square(deviation).sum(0)


@partial(jax.custom_vjp, nondiff_argnums=(3,))
def _affine(
    kernel: Float[Array, "input output"],
    bias: Float[Array, " output"],
    columns: Float[Array, "input step"],
    precision: str,
) -> Float[Array, "output step"]:
    return _product(kernel.T, columns, precision) + bias[:, None]


def _affine_forward(kernel: Array, bias: Array, columns: Array, precision: str) -> tuple[Array, tuple[Array, Array]]:
    return _affine(kernel, bias, columns, precision), (kernel, columns)


def _affine_backward(precision: str, kept: tuple[Array, Array], slope: Array) -> tuple[Array, Array, Array]:
    kernel, columns = kept
    # a product with ones: XLA adds up a long row one number at a time
    bias = _product(slope, jnp.ones(slope.shape[1], slope.dtype), "highest" if precision == "highest" else "default")
    inward = _product(kernel, slope, precision).astype(columns.dtype)
    return _product(columns, slope.T, precision), bias, inward


_affine.defvjp(_affine_forward, _affine_backward)


def _product(left: Array, right: Array, precision: str) -> Array:
    """A product in float32, whatever its factors are rounded to."""
    if precision == "bfloat16":
        left, right = left.astype(jnp.bfloat16), right.astype(jnp.bfloat16)
        return jnp.matmul(left, right, preferred_element_type=jnp.float32)
    return left @ right if precision == "default" else jnp.matmul(left, right, precision=precision)


def raw_scale_of(
    scale: Float[AnyArray, "*batch action"], bin_width: float = DEFAULT_BIN_WIDTH
) -> Float[AnyArray, "*batch action"]:
    """The `raw_scale` that gives a standard deviation: inverse of `GaussianPolicy.scale`.

    Deviations at or under the floor are raised to just above it.
    """
    above = jnp.maximum(scale - bin_width / math.sqrt(2 * math.pi), 1e-4)
    return above + jnp.log(-jnp.expm1(-above))


def with_bin_width(policy: GaussianPolicy, bin_width: float) -> GaussianPolicy:
    """The same policy with tokens of another width: same mode, same deviation (if that is above the new floor)."""
    raw_scale = raw_scale_of(policy.scale, bin_width)
    return dataclasses.replace(policy, raw_scale=raw_scale, bin_width=bin_width)
