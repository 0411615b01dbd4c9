"""What `mpo.tasks` finds. Every mpo command imports this file, so the environment is imported only when it is built."""

from typing import TYPE_CHECKING

from mpo_experiments.tasks.registry import PPOSettings, TaskSpec

if TYPE_CHECKING:
    from brax.envs import Env


def reach() -> "Env":
    """Builds the environment."""
    from mpo_reach.environment import Reach

    return Reach()


TASK = TaskSpec(
    name="reach",
    description="Bring a point mass on a plane to the goal; reward is nearness; ends when it is lost.",
    backend="none",
    make=reach,
    recipe=PPOSettings(
        steps=204_800, evaluations=20, discounting=0.9, num_envs=64, batch_size=64, num_minibatches=8,
        policy_hidden=(32, 32), value_hidden=(32, 32),
    ),
)  # fmt: skip
