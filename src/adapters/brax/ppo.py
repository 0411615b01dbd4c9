"""Agents by brax's PPO."""

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp

from adapters.brax.environments import BraxTask, envs
from adapters.brax.ppo_settings import PPOSettings
from mpo_core.policies.gaussian import ACTIVATIONS, DEFAULT_BIN_WIDTH, GaussianPolicy, Layer, raw_scale_of

from brax.training.acme import running_statistics  # isort: skip  # quiet once adapters.brax.environments is loaded
from brax.training.agents.ppo import networks as ppo_networks, train as ppo_train  # isort: skip
from brax.training.types import UInt64  # isort: skip

NetworkParams = tuple[Any, ...]
"""Brax's parameters: (observation normaliser, policy, ...)."""
REPLICATE = "device_put_replicated"
SETTLED = 1_000_000
"""Observations that the normaliser of a restored policy counts as seen."""


@dataclasses.dataclass(frozen=True)
class Snapshot:
    """A policy on the way, with its return over the evaluation episodes (sampled actions)."""

    steps: int
    policy: GaussianPolicy
    return_: float


class ClippedActions(envs.Wrapper):
    """Clips actions to [-1, 1] before the environment, whose control cost reads them raw."""

    def step(self, state: envs.State, action: jax.Array) -> envs.State:
        return self.env.step(state, jnp.clip(action, -1.0, 1.0))


def train_ppo(
    task: BraxTask,
    settings: PPOSettings,
    on_snapshot: Callable[[Snapshot], None] = lambda snapshot: None,
    start: GaussianPolicy | None = None,
) -> list[Snapshot]:
    """Trains one agent and returns its policy at every evaluation, in order; the first is untrained, or the start.

    Args:
        on_snapshot: called with each snapshot as soon as it is evaluated.
        start: a policy to start from; the value function starts afresh.
    """
    recorder = _Recorder(on_snapshot, settings.activation)
    with replicate_shim():
        ppo_train.train(
            environment=ClippedActions(task.env),
            num_timesteps=settings.steps,
            max_devices_per_host=1,
            num_envs=settings.num_envs,
            episode_length=settings.episode_length,
            learning_rate=settings.learning_rate,
            entropy_cost=settings.entropy_cost,
            discounting=settings.discounting,
            unroll_length=settings.unroll_length,
            batch_size=settings.batch_size,
            num_minibatches=settings.num_minibatches,
            num_updates_per_batch=settings.num_updates_per_batch,
            normalize_observations=True,
            reward_scaling=settings.reward_scaling,
            network_factory=network_factory(settings),
            seed=settings.seed,
            num_evals=settings.evaluations + 1,
            num_eval_envs=settings.evaluation_episodes,
            progress_fn=recorder.evaluated,
            policy_params_fn=recorder.parameters,
            restore_params=None if start is None else to_brax(start),
            restore_value_fn=False,
        )
    return recorder.snapshots


def network_factory(settings: PPOSettings) -> Callable[..., ppo_networks.PPONetworks]:
    """Brax's networks for these settings, given an observation size, an action size and a preprocessor."""
    return functools.partial(
        ppo_networks.make_ppo_networks,
        policy_hidden_layer_sizes=settings.policy_hidden,
        value_hidden_layer_sizes=settings.value_hidden,
        activation=ACTIVATIONS[settings.activation],
        distribution_type="normal",
        noise_std_type="log",
        init_noise_std=settings.init_noise_std,
        state_dependent_std=False,
    )


def to_gaussian_policy(
    params: NetworkParams, *, activation: str = "relu", bin_width: float = DEFAULT_BIN_WIDTH
) -> GaussianPolicy:
    """Brax's parameters as our policy: same mode, same deviation (raised to just above the floor where it is under it).

    Brax divides by the deviation of the observations without clipping the quotient, and so do we.
    """
    normalizer, policy = params[0], params[1]["params"]
    hidden = policy["MLP_0"]
    names = [f"hidden_{index}" for index in range(len(hidden))]
    dense = [hidden[name] for name in names] + [policy["Dense_0"]]
    scale = jnp.exp(jnp.asarray(policy["std_logparam"]["log_value"]))
    return GaussianPolicy(
        observation_mean=jnp.asarray(normalizer.mean),
        observation_std=jnp.asarray(normalizer.std),
        layers=tuple(Layer(jnp.asarray(layer["kernel"]), jnp.asarray(layer["bias"])) for layer in dense),
        raw_scale=raw_scale_of(scale, bin_width),
        activation=activation,
        bin_width=bin_width,
    )


def to_brax(policy: GaussianPolicy) -> NetworkParams:
    """The inverse of `to_gaussian_policy`; the normaliser counts as settled by `SETTLED` observations."""
    *hidden, last = [{"kernel": layer.kernel, "bias": layer.bias} for layer in policy.layers]
    settled = UInt64(hi=0, lo=SETTLED)  # pyright: ignore[reportCallIssue]
    normalizer = dataclasses.replace(
        running_statistics.init_state(policy.observation_mean), count=settled,
        mean=policy.observation_mean, std=policy.observation_std,
        summed_variance=SETTLED * jnp.square(policy.observation_std),
    )  # fmt: skip
    return normalizer, {
        "params": {
            "MLP_0": {f"hidden_{index}": layer for index, layer in enumerate(hidden)},
            "Dense_0": last,
            "std_logparam": {"log_value": jnp.log(policy.scale)},
        }
    }


@contextlib.contextmanager
def replicate_shim() -> Iterator[None]:
    """While open, `jax.device_put_replicated` exists: brax 0.14.2 calls it and jax 0.10 removed it.

    https://github.com/google/brax/issues/671
    """
    if _has_replicate():
        yield
        return
    setattr(jax, REPLICATE, _device_put_replicated)
    try:
        yield
    finally:
        delattr(jax, REPLICATE)


def _has_replicate() -> bool:
    try:
        return hasattr(jax, REPLICATE)
    except Exception:  # jax raises its own error type for some removed names
        return False


def _device_put_replicated(value: Any, devices: list[Any]) -> Any:
    return jax.tree.map(lambda leaf: jnp.stack([leaf] * len(devices)), value)


class _Recorder:
    """Joins brax's two callbacks, which come in either order, into snapshots."""

    def __init__(self, on_snapshot: Callable[[Snapshot], None], activation: str):
        self.snapshots: list[Snapshot] = []
        self._activation = activation
        self._on_snapshot = on_snapshot
        self._policies: dict[int, GaussianPolicy] = {}
        self._returns: dict[int, float] = {}

    def evaluated(self, steps: int, metrics: Any) -> None:
        self._returns[steps] = float(metrics["eval/episode_reward"])
        self._join(steps)

    def parameters(self, steps: int, make_policy: Any, params: NetworkParams) -> None:
        # brax donates its buffers to the next update: keep copies
        self._policies[steps] = jax.tree.map(jnp.array, to_gaussian_policy(params, activation=self._activation))
        self._join(steps)

    def _join(self, steps: int) -> None:
        if steps in self._returns and steps in self._policies:
            snapshot = Snapshot(steps, self._policies[steps], self._returns[steps])
            self.snapshots.append(snapshot)
            self._on_snapshot(snapshot)
