"""Learned members of the Mirror Preference Optimization class, and what a search varies of them."""

import dataclasses
import math
from collections.abc import Collection

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from mpo_core.mirror.maps import AbstractMap
from mpo_core.mirror.mirror_objective import MirrorObjective
from mpo_core.mirror.monotone_network import Domain, MonotoneNetwork, amplitude, monotone_network
from mpo_core.objective import Scalar
from mpo_core.settings import MAPS

TEMPORAL_KNOTS = 3


class LearnedMap(AbstractMap):
    """a(t) * closed form + network(x, t), with a(t) = e^(alpha(t)) > 0 and constant at the start (1, or a scale).

    A sum alone could add imitation but never fade it.
    """

    start: AbstractMap
    log_amplitude: Float[Array, " knot"]
    network: MonotoneNetwork

    def __call__(self, x: Float[Array, "*any"], progress: Scalar) -> Float[Array, "*any"]:
        return amplitude(self.log_amplitude, progress) * self.start(x, progress) + self.network(x, progress)

    @property
    def monotone(self) -> bool:
        """Whether the closed form it starts from is increasing; the network always is."""
        return self.start.monotone


def learned_mirror(start: MirrorObjective, *, temporal: bool) -> MirrorObjective:
    """The learned member that equals `start` as long as nothing is learned.

    Args:
        start: a member of the class whose maps are increasing.
        temporal: whether the learned parts see training progress.

    Raises:
        ValueError: if a map of `start` is not increasing.
    """
    if not start.monotone:
        raise ValueError("a search starts only from members whose psi, phi_inv and g are increasing")
    knots = TEMPORAL_KNOTS if temporal else 1

    def learned(closed: AbstractMap, domain: Domain) -> LearnedMap:
        return LearnedMap(closed, jnp.zeros(knots), monotone_network(domain, knots))

    return eqx.tree_at(
        lambda m: (m.phi_inv, m.psi, m.g),
        start,
        (
            learned(start.phi_inv, Domain.LOG_PROB),
            learned(start.psi, Domain.BRACKET),
            learned(start.g, Domain.LOG_PROB),
        ),
    )


def split_learned(
    objective: MirrorObjective, maps: Collection[str] = tuple(MAPS), *, networks: bool = True
) -> tuple[PyTree, PyTree]:
    """Separates what a search varies (amplitudes and networks) from what stays; `eqx.combine` puts them together.

    Args:
        maps: short names (`settings.MAPS`) of the maps that are varied; the others stay as they are.
        networks: whether networks are varied as well as amplitudes. Without them a search has few dimensions: how
            strong the closed forms of its start are over training.
    """

    def is_learned(node: PyTree) -> PyTree:
        if isinstance(node, LearnedMap):
            everything = jax.tree.map(lambda _: True, node)
            spec = eqx.tree_at(lambda m: m.start, everything, jax.tree.map(lambda _: False, node.start))
            still = jax.tree.map(lambda _: networks, node.network)
            return eqx.tree_at(lambda m: m.network, spec, still)
        return jax.tree.map(lambda _: False, node)

    spec = jax.tree.map(is_learned, objective, is_leaf=lambda node: isinstance(node, LearnedMap))
    for name, field in MAPS.items():
        if name not in maps:
            still = jax.tree.map(lambda _: False, getattr(objective, field))
            spec = eqx.tree_at(lambda m, field=field: getattr(m, field), spec, still)
    return eqx.partition(objective, spec)


def with_scale(objective: MirrorObjective, scale: float) -> MirrorObjective:
    """The learned member with the amplitudes of psi and g times a factor, at every progress.

    Adam is blind to the scale of a loss, the clip of the gradient's norm before it is not: under a large scale it
    hides what a search varies of the amplitudes. Networks stay as they are.
    """
    step = math.log(scale)
    return eqx.tree_at(
        lambda m: (m.psi.log_amplitude, m.g.log_amplitude), objective, replace_fn=lambda amplitude: amplitude + step
    )


def with_reference(objective: MirrorObjective, reference: bool | None) -> MirrorObjective:
    """The same maps with a reference policy in the bracket, or without; None leaves it as it is."""
    return objective if reference is None else dataclasses.replace(objective, reference=reference)


def with_time(objective: MirrorObjective) -> MirrorObjective:
    """A static learned member as a temporal one that is the same at every t: its knots, repeated.

    Raises:
        ValueError: it is temporal already.
    """

    def widened(learned: LearnedMap) -> LearnedMap:
        if learned.log_amplitude.shape != (1,):
            raise ValueError("the objective sees training progress already")
        return eqx.tree_at(
            lambda m: (m.log_amplitude, m.network.weight),
            learned,
            (jnp.repeat(learned.log_amplitude, TEMPORAL_KNOTS), jnp.repeat(learned.network.weight, TEMPORAL_KNOTS, 1)),
        )

    return jax.tree.map(
        lambda node: widened(node) if isinstance(node, LearnedMap) else node,
        objective,
        is_leaf=lambda node: isinstance(node, LearnedMap),
    )
