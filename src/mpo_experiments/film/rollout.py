"""A film of agents side by side: physics states recorded step by step, seen from the side without perspective."""

import dataclasses
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from mpo_core.failures import WorkFailed
from mpo_core.policies.policy import AbstractPolicy, stacked_count
from mpo_core.rollout.envs import Envs, env_step, start_envs
from mpo_core.rollout.task import Task
from mpo_core.settings import UnusableSetting

FRAMES_A_SECOND = 25
SPHERE, BOX, MISSING_LENGTH = 2, 6, (0, 1, 2)
"""MuJoCo's numbers of shapes: planes, height fields and spheres have no length; a box is drawn by its longest side."""
FLAT = 0.05
"""Metres off its plane up to which a body counts as flat, and is seen straight from the side."""
AZIMUTH, ELEVATION = np.radians(30.0), np.radians(25.0)
ROOM, HEIGHT = 1.1, 0.5
"""How much wider a picture is than what moves in it, and the height over the ground that it shows, in widths."""


@dataclasses.dataclass(frozen=True)
class Bodies:
    """Capsules (spheres are short ones), each fixed to a link."""

    link: np.ndarray
    ends: Float[np.ndarray, "capsule end xyz"]
    """In the link's frame, metres."""
    radius: Float[np.ndarray, " capsule"]


@dataclasses.dataclass(frozen=True)
class Panel:
    """One agent's part of a film, in metres right of and above the point on the ground that the camera follows."""

    name: str
    capsules: Float[np.ndarray, "frame capsule coordinate"]
    """x and y of either end, and the radius; what is further away comes first."""
    camera: Float[np.ndarray, "frame xy"]
    """Where the camera is over the ground."""
    return_: Float[np.ndarray, " frame"]
    """Return so far."""
    fell: int | None
    """The frame at which the episode ended early; the picture stands still from there."""


@dataclasses.dataclass(frozen=True)
class Film:
    """Panels of one length."""

    title: str
    panels: tuple[Panel, ...]
    interval: float
    """Seconds a frame."""
    width: float
    """Metres that a panel shows."""
    flat: bool
    """Whether it is seen straight from the side."""

    @property
    def frames(self) -> int:
        """How many there are."""
        return len(self.panels[0].return_)


def film(task: Task, policies: list[tuple[str, AbstractPolicy]], *, seconds: float, seed: int, title: str) -> Film:
    """Agents acting by their modes from one start state, as long as told.

    Args:
        policies: each with the name on its panel; all of one structure.

    Raises:
        UnusableSetting: the task has no bodies that could be drawn.
        WorkFailed: training left an agent without finite weights.
    """
    for name, policy in policies:
        if not all(np.isfinite(leaf).all() for leaf in map(np.asarray, jax.tree.leaves(policy))):
            raise WorkFailed(f"the training of {name!r} diverged, so there is no agent to film: leave it out")
    bodies, interval = bodies_of(task), float(_environment(task).dt)
    every = max(1, round(1 / (FRAMES_A_SECOND * interval)))
    steps = max(every, round(seconds / interval) // every * every)
    stacked = jax.tree.map(lambda *leaves: jnp.stack([jnp.asarray(leaf) for leaf in leaves]), *(p for _, p in policies))
    found = jax.tree.map(np.asarray, _recorded(task, stacked, jax.random.key(seed), steps))
    position, rotation, _, alive = (np.swapaxes(leaf, 0, 1)[:, every - 1 :: every] for leaf in found)
    return_ = np.cumsum(np.swapaxes(found[2], 0, 1), axis=1)[:, every - 1 :: every]
    ends = [_in_the_world(bodies, *one) for one in zip(position, rotation, strict=True)]
    flat = bool(np.abs(ends[0][0, :, :, 1]).max() < FLAT)
    panels = [
        _panel(name, bodies, *one, flat)
        for (name, _), one in zip(policies, zip(ends, return_, alive, strict=True), strict=True)
    ]
    reach = np.stack([[np.abs(p.capsules[..., [0, 2]]).max(), p.capsules[..., [1, 3]].max()] for p in panels]).max(0)
    width = ROOM * max(2 * reach[0], reach[1] / HEIGHT)
    return Film(title, tuple(panels), every * interval, float(width), flat)


def bodies_of(task: Task) -> Bodies:
    """What there is to draw of a task.

    Raises:
        UnusableSetting: nothing, or nothing that brax knows.
    """
    system = getattr(_environment(task), "sys", None)
    if system is None:
        raise UnusableSetting(
            f"task {task.name!r} has no bodies that could be drawn: its environment is none of brax's"
        )
    kind, size, link = (np.asarray(getattr(system, f"geom_{name}")) for name in ("type", "size", "bodyid"))
    kept = np.flatnonzero((link > 0) & (kind >= SPHERE))
    if not len(kept):
        raise UnusableSetting(f"task {task.name!r} has no bodies that could be drawn")
    place, turn = (np.asarray(getattr(system, f"geom_{name}"))[kept] for name in ("pos", "quat"))
    axis, half = (
        np.tile([0.0, 0.0, 1.0], (len(kept), 1)),
        np.where(np.isin(kind[kept], MISSING_LENGTH), 0.0, size[kept, 1]),
    )
    for row in np.flatnonzero(kind[kept] == BOX):
        longest = int(size[kept[row]].argmax())
        axis[row], half[row] = np.eye(3)[longest], size[kept[row], longest]
    offset = _rotated(turn, axis) * half[:, None]
    return Bodies(link[kept] - 1, np.stack([place - offset, place + offset], axis=1), size[kept, 0])


def _environment(task: Task) -> Any:
    """Brax's own environment behind a task; None where there is none."""
    return getattr(task, "env", None)


@partial(jax.jit, static_argnums=(0, 3))
def _recorded(task: Task, policies: AbstractPolicy, key: jax.Array, steps: int) -> Any:
    """Positions and rotations of links, rewards and whether the episode still runs, a step each: (time, agent, ...)."""
    agents = stacked_count(policies)
    envs = start_envs(task, policies, jnp.repeat(key[None], agents), jnp.repeat(key[None], agents))

    def body(envs: Envs, _: None) -> tuple[Envs, Any]:
        envs, record = env_step(task, policies, envs, jnp.zeros(()))
        links = envs.state.physics.pipeline_state.x
        return envs, (links.pos, links.rot, record.reward, record.alive)

    return jax.lax.scan(body, envs, None, length=steps)[1]


def _panel(name: str, bodies: Bodies, ends: np.ndarray, return_: np.ndarray, alive: np.ndarray, flat: bool) -> Panel:
    running = int(alive.sum())
    shown = np.minimum(np.arange(len(ends)), max(running - 1, 0))
    ends = ends[shown]
    camera = np.stack([ends[..., 0].mean((1, 2)), np.zeros(len(ends)) if flat else ends[..., 1].mean((1, 2))], axis=1)
    x, y, z = ends[..., 0] - camera[:, 0, None, None], ends[..., 1] - camera[:, 1, None, None], ends[..., 2]
    right, up, depth = project(x, y, z, flat=flat)
    radius = np.broadcast_to(bodies.radius[None, :], right.shape[:2])
    capsules = np.stack([right[..., 0], up[..., 0], right[..., 1], up[..., 1], radius], axis=2)
    order = np.argsort(-depth.mean(2).round(2), axis=1, kind="stable")  # rounded: what lies in a plane keeps its order
    capsules = np.take_along_axis(capsules, order[:, :, None], axis=1)
    return Panel(name, capsules, camera, return_, running if running < len(ends) else None)


def project(x: np.ndarray, y: np.ndarray, z: np.ndarray, *, flat: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Right, up and away from the camera, of points in metres from where it looks."""
    if flat:
        return x, z, y
    right, ahead = x * np.cos(AZIMUTH) + y * np.sin(AZIMUTH), y * np.cos(AZIMUTH) - x * np.sin(AZIMUTH)
    return right, z * np.cos(ELEVATION) + ahead * np.sin(ELEVATION), ahead * np.cos(ELEVATION) - z * np.sin(ELEVATION)


def _in_the_world(bodies: Bodies, position: np.ndarray, rotation: np.ndarray) -> np.ndarray:
    """Ends of the capsules over time: (frame, capsule, end, xyz)."""
    turn, place = rotation[:, bodies.link, None], position[:, bodies.link, None]
    return place + _rotated(turn, np.broadcast_to(bodies.ends, (len(position), *bodies.ends.shape)))


def _rotated(quaternion: np.ndarray, vector: np.ndarray) -> np.ndarray:
    """Vectors turned by unit quaternions (w, x, y, z)."""
    w, axis = quaternion[..., :1], quaternion[..., 1:]
    across = 2 * np.cross(axis, vector)
    return vector + w * across + np.cross(axis, across)
