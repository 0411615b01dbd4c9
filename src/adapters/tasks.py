"""Which tasks there are and how their agents are trained; imports no simulator, so that names are checked at once."""

from dataclasses import dataclass

from mpo_core.names import unknown_name


@dataclass(frozen=True)
class PPOSettings:
    """How agents are trained: PPO with an unsquashed Gaussian and a deviation that does not depend on the state."""

    steps: int
    """Environment steps in all; brax rounds up to whole updates at each evaluation."""
    evaluations: int
    """Snapshots after the start, evenly spaced."""
    learning_rate: float = 3e-4
    discounting: float = 0.97
    entropy_cost: float = 1e-2
    reward_scaling: float = 0.1
    num_envs: int = 256
    unroll_length: int = 20
    batch_size: int = 128
    num_minibatches: int = 16
    num_updates_per_batch: int = 8
    evaluation_episodes: int = 32
    episode_length: int = 1000
    init_noise_std: float = 0.5
    policy_hidden: tuple[int, ...] = (64, 64)
    value_hidden: tuple[int, ...] = (128, 128)
    activation: str = "relu"
    seed: int = 0


@dataclass(frozen=True)
class TaskSpec:
    """A task: a brax environment on the physics backend its baselines are measured on."""

    name: str
    description: str
    brax_name: str
    backend: str
    recipe: PPOSettings
    """How its bundled agents are trained."""


TASKS = {
    spec.name: spec
    for spec in (
        TaskSpec(
            name="halfcheetah",
            description="Run forward on two legs; reward is speed minus 0.1 x squared torque; never ends early.",
            brax_name="halfcheetah",
            backend="spring",
            recipe=PPOSettings(steps=6_553_600, evaluations=40),
        ),
        TaskSpec(
            name="hopper",
            description="Hop forward on one leg; reward is speed plus 1 while upright; ends at a fall.",
            brax_name="hopper",
            backend="positional",
            recipe=PPOSettings(steps=1_638_400, evaluations=40),
        ),
        TaskSpec(
            name="ant",
            description="Walk forward on four legs; reward is speed plus 1 minus 0.5 x squared torque; ends at a fall.",
            brax_name="ant",
            backend="spring",
            recipe=PPOSettings(steps=3_932_160, evaluations=32),
        ),
    )
}


def task_names() -> list[str]:
    """The names of all tasks."""
    return list(TASKS)


def task_spec(name: str) -> TaskSpec:
    """The task of that name.

    Raises:
        ValueError: no such task; the message names the nearest ones.
    """
    if name not in TASKS:
        raise unknown_name("task", name, TASKS)
    return TASKS[name]
