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
from mpo_core.mirror.monotone_network import (
    UNIT_FRAME,
    Domain,
    Frame,
    MonotoneNetwork,
    amplitude,
    monotone_network,
)
from mpo_core.objective.interface import Scalar
from mpo_core.settings import MAPS

TEMPORAL_KNOTS = 3
FLAT = 1e-3
"""Mean slope of a phi_inv over a frame, up to which it counts as flat there (ours)."""


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


def learned_mirror(start: MirrorObjective, *, temporal: bool, frame: Frame = UNIT_FRAME) -> MirrorObjective:
    """The learned member that equals `start` as long as nothing is learned.

    Args:
        start: a member of the class whose maps are increasing.
        temporal: whether the learned parts see training progress.
        frame: where the units of phi_inv and g lie on the axis of mean token log-probs; those of psi lie where phi_inv
            of the start takes it. Maps of whole trajectories, whose log-probs are longer, ignore it.

    Raises:
        ValueError: if a map of `start` is not increasing.
    """
    if not start.monotone:
        raise ValueError("a search starts only from members whose psi, phi_inv and g are increasing")
    knots = TEMPORAL_KNOTS if temporal else 1

    frames = _frames(start, frame)

    def learned(name: str) -> LearnedMap:
        domain = Domain.BRACKET if name == "psi" else Domain.LOG_PROB
        return LearnedMap(getattr(start, name), jnp.zeros(knots), monotone_network(domain, knots, frames[name]))

    return _with_maps(start, {name: learned(name) for name in MAPS.values()})


def with_frame(objective: MirrorObjective, frame: Frame) -> MirrorObjective:
    """The learned member with the units of its networks where another task, or a language model, has its log-probs.

    Parameters stay as they are: a unit keeps its slope and its place between the frame's two ends. The bracket's width
    changes by the same factor as the frame's.

    Raises:
        ValueError: nothing in it lies in a frame: it has no networks, or they see whole trajectories.
    """
    if not has_frame(objective):
        raise ValueError("nothing in it lies in a frame: it has no networks, or they see whole trajectories")
    maps = _on_means(objective)

    def moved(name: str) -> LearnedMap:
        own, ends = maps[name].network, (jnp.asarray(frame.centre, float), jnp.asarray(frame.width, float))
        if name == "psi":  # its input is a difference: around 0 in every frame
            ends = own.centre, own.width * frame.width / maps["phi_inv"].network.width
        return eqx.tree_at(lambda m: (m.network.centre, m.network.width), maps[name], ends)

    return _with_maps(objective, {name: moved(name) for name in maps})


def has_frame(objective: MirrorObjective) -> bool:
    """Whether a member has networks that see mean token log-probs, which are what lies in a frame."""
    learned = [map_ for map_ in _on_means(objective).values() if isinstance(map_, LearnedMap)]
    return any(bool(map_.network.weight.any()) for map_ in learned)


def own_frame(objective: MirrorObjective) -> Frame | None:
    """Where the networks that see mean token log-probs bend; None where there are none."""
    if not has_frame(objective):
        return None
    maps = _on_means(objective)
    one = (maps.get("phi_inv") or maps["g"]).network
    return Frame(float(one.centre), float(one.width))


def _on_means(objective: MirrorObjective) -> dict[str, LearnedMap]:
    """The maps that see mean token log-probs rather than those of whole trajectories."""
    sees = {"phi_inv": objective.bracket, "psi": objective.bracket, "g": objective.imitation}
    return {name: getattr(objective, name) for name, of in sees.items() if of == "mean"}


def _with_maps(objective: MirrorObjective, maps: dict[str, AbstractMap]) -> MirrorObjective:
    return dataclasses.replace(objective, **maps)  # pyright: ignore[reportArgumentType]


def _frames(start: MirrorObjective, frame: Frame) -> dict[str, Frame]:
    """The frame of each map; whole trajectories have none."""
    of_pair = frame if start.bracket == "mean" else UNIT_FRAME
    of_chosen = frame if start.imitation == "mean" else UNIT_FRAME
    return {"phi_inv": of_pair, "psi": _bracket_frame(start, of_pair), "g": of_chosen}


def _bracket_frame(start: MirrorObjective, frame: Frame) -> Frame:
    """The width of a frame as the start's phi_inv sees it; its own where phi_inv is flat there, or has no numbers: what
    is learned of phi_inv is then all that psi sees."""
    if frame == UNIT_FRAME:
        return UNIT_FRAME
    ends = jnp.array([frame.centre, frame.centre - frame.width])
    high, low = start.phi_inv(ends, 0.0)
    width = float(high - low)
    return Frame(0.0, width if math.isfinite(width) and width > FLAT * frame.width else frame.width)


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
        nothing = jax.tree.map(lambda _: False, node)
        if not isinstance(node, LearnedMap):
            return nothing
        spec = eqx.tree_at(lambda m: m.log_amplitude, nothing, True)
        return eqx.tree_at(lambda m: _learned_of(m.network), spec, (networks,) * 3)

    spec = jax.tree.map(is_learned, objective, is_leaf=lambda node: isinstance(node, LearnedMap))
    for name, field in MAPS.items():
        if name not in maps:
            still = jax.tree.map(lambda _: False, getattr(objective, field))
            spec = eqx.tree_at(lambda m, field=field: getattr(m, field), spec, still)
    return eqx.partition(objective, spec)


def split_start(objective: MirrorObjective) -> tuple[PyTree, PyTree]:
    """Separates all numbers of the learned maps, those that no search varies too, from the closed forms they start
    from; `eqx.combine` puts them together."""

    def is_own(node: PyTree) -> PyTree:
        nothing = jax.tree.map(lambda _: False, node)
        if not isinstance(node, LearnedMap):
            return nothing
        return eqx.tree_at(
            lambda m: (m.log_amplitude, m.network), nothing, (True, jax.tree.map(lambda _: True, node.network))
        )

    return eqx.partition(objective, jax.tree.map(is_own, objective, is_leaf=lambda node: isinstance(node, LearnedMap)))


def _learned_of(network: MonotoneNetwork) -> tuple:
    """The parts of a network that a search varies."""
    return network.weight, network.log_slope, network.offset


def with_scale(objective: MirrorObjective, scale: float) -> MirrorObjective:
    """The learned member with psi and g times a factor, at every progress and with whatever is learned of them.

    Adam is blind to the scale of a loss, the clip of the gradient's norm before it is not: under a large scale it
    hides what a search varies of the amplitudes.
    """
    step = math.log(scale)
    grown = eqx.tree_at(
        lambda m: (m.psi.log_amplitude, m.g.log_amplitude), objective, replace_fn=lambda amplitude: amplitude + step
    )
    return eqx.tree_at(
        lambda m: (m.psi.network.scale, m.g.network.scale), grown, replace_fn=lambda factor: scale * factor
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
