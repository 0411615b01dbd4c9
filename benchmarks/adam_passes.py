"""How often the optimiser goes over the parameters of a policy, and whether writing it by hand makes it fewer.

Run: python -m benchmarks.adam_passes   (clip and Adam of optax, as the inner loop has them, and as one expression)
"""

import re
from collections.abc import Callable
from typing import Any

import benchmarks  # isort: skip  # devices and compilation cache, before anything starts JAX

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array

from benchmarks.sizes import TINY
from benchmarks.timing import alternating
from mpo_core.settings import InnerLoopSettings

assert benchmarks
PARAMETERS = 5_708
"""Of halfcheetah's policy of width 64."""
MEMBERS, UPDATES = (2, 5) if TINY else (32, 300)
DECAYS, EPSILON = (0.9, 0.999), 1e-8
FREE = re.compile(r"\b(parameter|constant|tuple|get-tuple-element|bitcast)\(")


def usual(vector: Array, gradient: Array, moments: Any) -> tuple[Array, Any]:
    """An update as the inner loop makes it."""
    change, moments = _optimiser().update(gradient, moments, vector)
    return jnp.asarray(optax.apply_updates(vector, change)), moments


def by_hand(vector: Array, gradient: Array, moments: Any) -> tuple[Array, Any]:
    """The same as one expression."""
    settings, (clip, (adam, rest)) = InnerLoopSettings(), moments
    norm = jnp.sqrt(jnp.square(gradient).sum())
    gradient = gradient * jnp.minimum(1.0, settings.max_grad_norm / norm)
    count, (first, second) = adam.count + 1, DECAYS
    mean = first * adam.mu + (1 - first) * gradient
    square = second * adam.nu + (1 - second) * jnp.square(gradient)
    step = mean / (1 - first**count) / (jnp.sqrt(square / (1 - second**count)) + EPSILON)
    return vector - settings.learning_rate * step, (clip, (adam._replace(count=count, mu=mean, nu=square), rest))


WAYS: dict[str, Callable[..., tuple[Array, Any]]] = {"optax": usual, "by hand": by_hand}


def passes(way: str) -> int:
    """Operations of the compiled update that read or write something as long as the vector."""
    vector = jnp.zeros(PARAMETERS)
    said = jax.jit(WAYS[way]).lower(vector, vector, _optimiser().init(vector)).compile().as_text()
    assert said is not None, "this back end does not show its programs"
    entry = said[said.index("\nENTRY ") :].splitlines()[2:]
    names = [re.match(rf"\s*(?:ROOT )?(%[\w.\-]+) = f32\[{PARAMETERS}\]", line) for line in entry]
    long = {found[1] for found in names if found}
    return sum(not long.isdisjoint(re.findall(r"%[\w.\-]+", line)) for line in entry if not FREE.search(line))


def microseconds() -> tuple[dict[str, float], float]:
    """Of an update of a member, members side by side, in turn; and how far the vectors lie apart at the end."""
    keys = jax.random.split(jax.random.key(0), 2)
    vectors = jax.random.normal(keys[0], (MEMBERS, PARAMETERS))
    gradient = jax.random.normal(keys[1], (PARAMETERS,))

    def training(way: str) -> Callable[[], Array]:
        def step(carry: tuple, _: None) -> tuple[tuple, None]:
            return WAYS[way](carry[0], gradient * carry[0], carry[1]), None

        def one(vector: Array) -> Array:
            return jax.lax.scan(step, (vector, _optimiser().init(vector)), None, UPDATES)[0][0]

        over = jax.lax.map if jax.default_backend() == "cpu" else lambda one, vectors: jax.vmap(one)(vectors)
        program = jax.jit(lambda vectors: over(one, vectors))
        return lambda: program(vectors)

    calls = {way: training(way) for way in WAYS}
    apart = float(jnp.abs(calls["optax"]() - calls["by hand"]()).max())
    return {way: taken / MEMBERS / UPDATES * 1e6 for way, taken in alternating(calls).items()}, apart


def _optimiser() -> optax.GradientTransformation:
    settings = InnerLoopSettings()
    return optax.chain(optax.clip_by_global_norm(settings.max_grad_norm), optax.adam(settings.learning_rate))


if __name__ == "__main__":
    taken, apart = microseconds()
    for way, each in taken.items():
        print(f"{way}: {passes(way)} operations on {PARAMETERS:,} parameters, {each:.2f} microseconds an update")
    print(f"largest difference after {UPDATES} updates: {apart:.1e}")
