"""How agents are trained; imports no simulator, so that settings are checked at once."""

from dataclasses import dataclass


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
    start: str | None = None
    """Task whose target agent training starts from, and which is then the original agent; None: from scratch."""
