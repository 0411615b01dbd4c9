"""Brax environments as tasks. Brax's noise (prints, warnings, a log file) is silenced here, in one place."""

import contextlib
import functools
import importlib
import io
import unittest.mock
import warnings
from collections.abc import Iterator
from typing import Any
from xml.etree import ElementTree

import equinox as eqx
import jax
import jax.numpy as jnp
import mujoco
from jaxtyping import Array, Float, PRNGKeyArray

from mpo_core.rollout.task import TaskState

# mjx prints "Failed to import warp" to stdout, here or when it is first used, which would break JSON output
with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
    warnings.simplefilter("ignore")
    with contextlib.suppress(ImportError):
        importlib.import_module("mujoco.mjx.warp")
    from brax import envs
    from brax.envs import half_cheetah
    from brax.io import mjcf

MUJOCO_DENSITY = 1000.0
"""MuJoCo's default density of a geom, kg / m^3."""


class BraxTask(eqx.Module):
    """A brax environment; its physics state is brax's whole `State`. Hashed by identity: build each once."""

    name: str = eqx.field(static=True)
    backend: str = eqx.field(static=True)
    env: envs.Env = eqx.field(static=True)
    observation_size: int = eqx.field(static=True)
    action_size: int = eqx.field(static=True)

    def __hash__(self) -> int:
        return id(self)

    def __eq__(self, other: object) -> bool:
        return self is other

    def reset(self, *, key: PRNGKeyArray) -> TaskState:
        """A fresh episode."""
        return _reset(self, key)

    def step(self, state: TaskState, action: Float[Array, " action"]) -> TaskState:
        """One control step; the simulator sees the action clipped to [-1, 1]. Rewards are as brax has them."""
        return _step(self, state.physics, action)


# jitted within whatever program calls them: Python goes through brax's code once a process, not once a program


@functools.partial(jax.jit, static_argnums=0)
def _reset(task: BraxTask, key: PRNGKeyArray) -> TaskState:
    return _task_state(task.env.reset(key))


@functools.partial(jax.jit, static_argnums=0)
def _step(task: BraxTask, physics: Any, action: Float[Array, " action"]) -> TaskState:
    # brax updates these two in place, which would alter the caller's state under a trace
    own = physics.replace(metrics=dict(physics.metrics), info=dict(physics.info))
    return _task_state(task.env.step(own, jnp.clip(action, -1.0, 1.0)))


def brax_task(name: str, backend: str, env: envs.Env) -> BraxTask:
    """A brax environment as a task; build one a process, since compiled programs are cached on it."""
    (observation_size,) = jax.eval_shape(env.reset, jax.random.key(0)).obs.shape
    return BraxTask(name, backend, env, observation_size, env.action_size)


def build_environment(brax_name: str, backend: str) -> envs.Env:
    """A brax environment, built without printing, warning or leaving files."""
    with warnings.catch_warnings(), _mass_by_density():
        warnings.filterwarnings("ignore", message="Brax System", category=UserWarning)
        return envs.get_environment(brax_name, backend=backend)


@contextlib.contextmanager
def _mass_by_density() -> Iterator[None]:
    """While open, halfcheetah's model is read with its total mass given by the density of its parts.

    Its `settotalmass` is deprecated: MuJoCo 4 warns about it and drops MUJOCO_LOG.TXT into the working directory.
    """

    def load(path) -> object:
        return mjcf.loads(with_density(path.read_text()))

    with unittest.mock.patch.object(half_cheetah.mjcf, "load", load):
        yield


def with_density(xml: str) -> str:
    """A MuJoCo model whose `settotalmass`, if any, becomes the density of its geoms that gives the same masses."""
    root = ElementTree.fromstring(xml)
    compiler = root.find("compiler")
    total = None if compiler is None else compiler.attrib.pop("settotalmass", None)
    if total is None:
        return xml
    text = ElementTree.tostring(root, encoding="unicode")
    unscaled = mujoco.MjModel.from_xml_string(text).body_mass.sum()  # pyright: ignore[reportAttributeAccessIssue]
    geom = root.find("default/geom")
    if geom is None:
        raise ValueError("the model has no default geom to carry its density")
    geom.set("density", repr(MUJOCO_DENSITY * float(total) / float(unscaled)))
    return ElementTree.tostring(root, encoding="unicode")


def _task_state(state: envs.State) -> TaskState:
    observation, reward, done = (jnp.asarray(leaf, jnp.float32) for leaf in (state.obs, state.reward, state.done))
    return TaskState(physics=state, observation=observation, reward=reward, done=done)
