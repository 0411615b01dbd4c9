"""Log-probs of steps and their gradient, a tile of steps at a time: no activation ever leaves the chip.

A Pallas kernel for GPUs (its Triton lowering). The forward pass keeps nothing; the backward pass runs the network of a
tile again and adds its gradient to what its program has so far. Off unless `inner.kernel` is pallas: it has not been
measured on a GPU yet (docs/performance.md).
"""

import dataclasses
from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import triton
from jaxtyping import Array, Float

from mpo_core.policies.gaussian import GaussianPolicy
from mpo_core.settings import Products, UnusableSetting

TILE = 64
"""Steps that are in the network together."""
PROGRAMS = 4
"""Programs that share the steps of a minibatch; each leaves a gradient of its own."""
WIDEST = 128
"""Of a layer: a wider one's gradient would not fit the registers of a program."""
LEAST = 16
"""Rows and columns of a product's factors, at least."""

Network = tuple[tuple[Array, Array], ...]
"""Kernel and bias of each layer, transposed and padded to what a tile product takes."""


@dataclasses.dataclass(frozen=True)
class _How:
    """What a kernel is compiled for."""

    activation: str
    precision: str
    interpreted: bool
    """Whether it runs step by step in Python's place, as CPUs can."""


def is_fused(products: Products) -> bool:
    """Whether log-probs are to come from this kernel.

    Raises:
        UnusableSetting: they are, and there is no GPU.
    """
    if products.kernel == "pallas" and jax.default_backend() != "gpu":
        raise UnusableSetting(
            f"inner.kernel=pallas: it is for GPUs, and this process computes on {jax.default_backend()}; "
            "auto and xla work everywhere"
        )
    return products.kernel == "pallas"


def fused_log_probs(
    policy: GaussianPolicy,
    observation: Float[Array, "observation step"],
    action: Float[Array, "action step"],
    precision: str = "default",
    *,
    interpreted: bool = False,
) -> Float[Array, " step"]:
    """`column_log_probs` of observations that are normalised already, by tiles; differentiable in the policy alone.

    Args:
        precision: of the products, one of `mpo_core.settings.PRECISIONS`; sums are float32.
        interpreted: whether to run it without a GPU, slowly.

    Raises:
        UnusableSetting: the policy has a layer wider than `WIDEST`.
    """
    widest = max(max(layer.kernel.shape) for layer in policy.layers)
    if widest > WIDEST:
        raise UnusableSetting(f"inner.kernel=pallas: takes layers of at most {WIDEST}, not of {widest} as here")
    how = _How(policy.activation, precision, interpreted)
    steps, scale = observation.shape[1], policy.scale
    whole = -(-steps // (PROGRAMS * TILE)) * PROGRAMS * TILE
    columns = [_padded(leaf, (_rows(len(leaf)), whole)) for leaf in (observation, action)]
    network = tuple(_padded_layer(jnp.asarray(layer.kernel), jnp.asarray(layer.bias)) for layer in policy.layers)
    inverse = _padded(jnp.asarray(1 / scale), (_rows(len(scale)),))
    squares: Array = _tiles(network, inverse, columns[0], columns[1], how)  # type: ignore[assignment]
    return jnp.log(policy.scale_floor / scale).sum() - 0.5 * squares[:steps]


def _rows(count: int) -> int:
    """The least power of two, from `LEAST`, that is not under a size."""
    return max(LEAST, 1 << (count - 1).bit_length())


def _padded(array: Array, shape: tuple[int, ...]) -> Array:
    return jnp.pad(array, [(0, size - old) for size, old in zip(shape, array.shape, strict=True)])


def _padded_layer(kernel: Array, bias: Array) -> tuple[Array, Array]:
    inputs, outputs = (_rows(size) for size in kernel.shape)
    return _padded(kernel.T, (outputs, inputs)), _padded(bias, (outputs,))


@partial(jax.custom_vjp, nondiff_argnums=(4,))
def _tiles(network: Network, inverse: Array, observation: Array, action: Array, how: _How) -> Array:
    """Squared deviations of each step, in standard deviations, summed over the action's dimensions."""
    tiles = observation.shape[1] // TILE
    flat, rebuilt = jax.tree.flatten((network, inverse))

    def kernel(observation_ref, action_ref, *refs):
        network, inverse = jax.tree.unflatten(rebuilt, [ref[...] for ref in refs[:-1]])
        _, deviation = _forward(network, inverse, observation_ref[...], action_ref[...], how)
        refs[-1][...] = jnp.square(deviation).sum(0)

    return pl.pallas_call(
        kernel, grid=(tiles,),
        in_specs=[_column_block(observation, TILE), _column_block(action, TILE), *map(_whole, flat)],
        out_specs=pl.BlockSpec((TILE,), lambda i: (i,)),
        out_shape=jax.ShapeDtypeStruct((observation.shape[1],), jnp.float32),
        interpret=how.interpreted, compiler_params=triton.CompilerParams(num_warps=4, num_stages=1),
    )(observation, action, *flat)  # fmt: skip


def _tiles_forward(network: Network, inverse: Array, observation: Array, action: Array, how: _How):
    return _tiles(network, inverse, observation, action, how), (network, inverse, observation, action)


def _tiles_backward(how: _How, kept: tuple, slope: Array) -> tuple:
    network, inverse, observation, action = kept
    own = observation.shape[1] // PROGRAMS
    flat, rebuilt = jax.tree.flatten((network, inverse))

    def kernel(observation_ref, action_ref, slope_ref, *refs):
        given, found = refs[: len(flat)], refs[len(flat) :]
        network, inverse = jax.tree.unflatten(rebuilt, [ref[...] for ref in given])

        def tile(number, total):
            at = pl.ds(number * TILE, TILE)
            gradient = _gradient(
                network, inverse, observation_ref[:, at], action_ref[:, at], slope_ref[at], how
            )  # fmt: skip
            return jax.tree.map(jnp.add, total, gradient)

        nothing = jax.tree.map(jnp.zeros_like, (network, inverse))
        total = jax.lax.fori_loop(0, own // TILE, tile, nothing)
        for ref, leaf in zip(found, jax.tree.leaves(total), strict=True):
            ref[...] = leaf

    parts = pl.pallas_call(
        kernel, grid=(PROGRAMS,),
        in_specs=[_column_block(observation, own), _column_block(action, own), pl.BlockSpec((own,), lambda i: (i,)),
                  *map(_whole, flat)],
        out_specs=[_part(leaf) for leaf in flat],
        out_shape=[jax.ShapeDtypeStruct((PROGRAMS, *leaf.shape), jnp.float32) for leaf in flat],
        interpret=how.interpreted, compiler_params=triton.CompilerParams(num_warps=8, num_stages=1),
    )(observation, action, slope, *flat)  # fmt: skip
    return (*jax.tree.unflatten(rebuilt, [part.sum(0) for part in parts]), None, None)


_tiles.defvjp(_tiles_forward, _tiles_backward)


def _column_block(array: Array, steps: int) -> pl.BlockSpec:
    return pl.BlockSpec((len(array), steps), lambda i: (0, i))


def _whole(array: Array) -> pl.BlockSpec:
    return pl.BlockSpec(array.shape, lambda i: (0,) * array.ndim)


def _part(array: Array) -> pl.BlockSpec:
    """A program's own place in an output with a leading axis of programs."""
    return pl.BlockSpec((None, *array.shape), lambda i: (i, *(0,) * array.ndim))


def _forward(
    network: Network, inverse: Array, observation: Array, action: Array, how: _How
) -> tuple[list[tuple[Array, Array]], Array]:
    """What enters each layer and what it makes of it, and the deviations."""
    hidden, kept = observation, []
    for place, (kernel, bias) in enumerate(network):
        made = _product(kernel, hidden, (1, 0), how) + bias[:, None]
        kept.append((hidden, made))
        hidden = _ACTIVATIONS[how.activation][0](made) if place < len(network) - 1 else made
    return kept, (action - hidden) * inverse[:, None]


def _gradient(
    network: Network, inverse: Array, observation: Array, action: Array, slope: Array, how: _How
) -> tuple[Network, Array]:
    """Of the squared deviations of a tile, weighed by `slope`, in the network and the inverse deviations."""
    kept, deviation = _forward(network, inverse, observation, action, how)
    weighed = 2 * slope[None] * deviation
    of_inverse = (weighed * (action - kept[-1][1])).sum(1)
    back, found = -weighed * inverse[:, None], []
    for place in reversed(range(len(network))):
        entered, made = kept[place]
        if place < len(network) - 1:
            back = back * _ACTIVATIONS[how.activation][1](made)
        found.append((_product(back, entered, (1, 1), how), back.sum(1)))
        if place:
            back = _product(network[place][0], back, (0, 0), how)
    return tuple(reversed(found)), of_inverse


def _product(left: Array, right: Array, contracted: tuple[int, int], how: _How) -> Array:
    if how.precision == "bfloat16":
        left, right = left.astype(jnp.bfloat16), right.astype(jnp.bfloat16)
    axes = (((contracted[0],), (contracted[1],)), ((), ()))
    precision = "highest" if how.precision == "highest" else None
    return jax.lax.dot_general(left, right, axes, precision=precision, preferred_element_type=jnp.float32)


def _sigmoid(x: Array) -> Array:
    return 1 / (1 + jnp.exp(-x))


def _swish_slope(x: Array) -> Array:
    share = _sigmoid(x)
    return share + x * share * (1 - share)


_ACTIVATIONS: dict[str, tuple[Callable[[Array], Array], Callable[[Array], Array]]] = {
    "relu": (lambda x: jnp.maximum(x, 0.0), lambda x: (x > 0).astype(x.dtype)),
    "tanh": (jnp.tanh, lambda x: 1 - jnp.square(jnp.tanh(x))),
    "swish": (lambda x: x * _sigmoid(x), _swish_slope),
}
"""Each with its slope, as kernels can compute them."""
