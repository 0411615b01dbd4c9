"""What agents are worth, and how likely their tokens are under the original: the numbers of their card."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from adapters.storage.agent_files import Measured
from mpo_core.data.generate_pairs import stack_agents
from mpo_core.data.rows import PreferenceRows
from mpo_core.evaluation.statistics import mean_interval
from mpo_core.policies.policy import AbstractPolicy
from mpo_core.rollout.program import RolloutProgram
from mpo_core.rollout.task import Task
from mpo_core.seeds import Purpose, Stream, stream_key
from mpo_core.training.learners import row_log_probs

HORIZON = 1000
MEASURED_EPISODES = 256
MEASURED_ENVS, MEASURED_CHUNK = 64, 50
MEASUREMENT_SEED = 0
TOKEN_EPISODES, TOKEN_STEPS = 64, 200
"""Of each agent, for the log-probs of their tokens."""
EARLIER = 50
"""Steps between the shorter horizons that the card knows returns for."""
MODES = (("sampled", 1.0), ("mode", 0.0))


def measure(
    task: Task, agents: tuple[AbstractPolicy, ...], *, episodes: int = MEASURED_EPISODES, horizon: int = HORIZON
) -> list[dict[str, Measured]]:
    """Each agent's return with sampled and with mode actions, all from the same start states."""
    program, policies = _program(task, horizon), stack_agents(*agents)
    index, keys = _episodes(len(agents), episodes)
    marks = max(1, horizon // EARLIER)
    found: list[dict[str, Measured]] = [{} for _ in agents]
    for mode, noise in MODES:
        blocks = program.blocks(policies, index, keys, horizon=horizon, noise=noise)
        parts = [(block.reward * block.alive).reshape(-1, marks, horizon // marks).sum(-1) for block in blocks]
        returns = np.concatenate(parts).cumsum(-1).reshape(len(agents), -1, marks)
        for record, own in zip(found, returns, strict=True):
            record[mode] = interval(own)
    return found


def interval(returns: Float[np.ndarray, "episode mark"]) -> Measured:
    """The mean of episodes' returns and its 95% interval (Student's t), and their means up to earlier steps."""
    found = mean_interval(returns[:, -1])
    estimate = {"return": found.estimate, "low": found.low, "high": found.high}
    earlier = {EARLIER * (mark + 1): round(float(mean), 3) for mark, mean in enumerate(returns.mean(0)[:-1])}
    return Measured.model_validate(
        {name: round(value, 3) for name, value in estimate.items()} | {"episodes": found.units, "earlier": earlier}
    )


def token_log_probs(
    task: Task,
    agents: tuple[AbstractPolicy, ...],
    *,
    episodes: int = TOKEN_EPISODES,
    horizon: int = TOKEN_STEPS,
    levels: tuple[int, ...] = (TOKEN_STEPS,),
) -> tuple[float, ...]:
    """Mean token log-prob, under the first agent, of the tokens of each agent over alive steps; its own come first.

    Args:
        episodes: of each agent, an even number; agents share start states.
        levels: of the stream of seeds.
    """
    index, keys = _episodes(len(agents), episodes, *levels)
    played = _program(task, horizon).trajectories(stack_agents(*agents), index, keys, horizon=horizon)
    sides = jax.tree.map(lambda leaf: leaf.reshape(-1, 2, *leaf.shape[1:]), played)
    count = len(index) // 2
    rows = PreferenceRows(
        observation=sides.observation, action=sides.action, alive=sides.alive, return_=sides.return_,
        margin=np.zeros(count, np.float32), flipped=np.zeros(count, bool), source=np.zeros((count, 2), np.int32),
    )  # fmt: skip
    sums, tokens = (
        np.asarray(leaf).reshape(len(agents), -1).sum(1) for leaf in (row_log_probs(agents[0], rows), rows.tokens)
    )
    return tuple(round(float(mean), 4) for mean in sums / tokens)


def _program(task: Task, horizon: int) -> RolloutProgram:
    return RolloutProgram(task, envs=MEASURED_ENVS, chunk=min(MEASURED_CHUNK, horizon))


def _episodes(agents: int, episodes: int, *levels: int) -> tuple[np.ndarray, tuple[jax.Array, jax.Array]]:
    """The agent of each episode, and its reset and action keys, which agents share."""
    reset, act = (
        jax.random.split(stream_key(MEASUREMENT_SEED, Stream.AGENT_CARD, *levels, purpose), episodes)
        for purpose in (Purpose.EVALUATION_START, Purpose.EVALUATION_ACTIONS)
    )
    keys = (jnp.concatenate([reset] * agents), jnp.concatenate([act] * agents))
    return np.repeat(np.arange(agents), episodes), keys
