"""A task with its agents and its one rollout program: where data come from and policies are judged."""

import dataclasses
from collections.abc import Callable
from functools import cached_property
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from adapters.storage.agent_files import AgentsCard, Measured
from mpo_core.data.generate_pairs import stack_agents
from mpo_core.data.specification import parse_data_spec
from mpo_core.evaluation.candidates import Candidate
from mpo_core.evaluation.comparison import (
    Comparison,
    ComparisonReturns,
    ComparisonSettings,
    UnitsOf,
    made_anew,
    rolled_out,
)
from mpo_core.evaluation.learning_curve import LearningCurve, learning_curve, steps as curve_steps
from mpo_core.policies.gaussian import GaussianPolicy, with_bin_width
from mpo_core.policies.policy import AbstractPolicy
from mpo_core.rollout.program import RolloutProgram
from mpo_core.rollout.task import Task
from mpo_core.seeds import Purpose, Stream, stream_key
from mpo_core.settings import FAILED_SCORE, EvaluationSettings, UnusableSetting
from mpo_experiments.agents.lookup import load_agents, load_card
from mpo_experiments.kept_pairs import KeptPairs
from mpo_experiments.progress import Reporter
from mpo_experiments.settings.run_config import CellConfig
from mpo_experiments.tasks.load import load_program, load_task
from mpo_experiments.text_table import return_text

CONSTANT_EPISODES = 256
"""Episodes an agent behind the constants where the card has none that hold."""
LONGEST_CHUNK = 50
"""Steps of a rollout in one call."""


@dataclasses.dataclass(frozen=True)
class Testbed:
    """Those of one task share their compiled physics."""

    name: str
    bin_width: float | None = None
    """Width of a token in action units, where it is not that of the agents' card."""
    length: int = LONGEST_CHUNK
    """Steps of a trajectory of its preference data."""
    kept_pairs: Path | None = None
    """A folder where comparisons keep the pairs of their units, and take those that are there."""
    _constants: dict[tuple[int, bool], tuple[float, float]] = dataclasses.field(default_factory=dict, compare=False)

    @cached_property
    def task(self) -> Task:
        """The environment."""
        return load_task(self.name)

    @cached_property
    def card(self) -> AgentsCard:
        """The agents' card."""
        return load_card(self.name)

    @property
    def token_width(self) -> float:
        """Width of a token, in action units; where actions are tokens themselves, there is but one."""
        if self.bin_width is None or self.card.language is not None:
            return self.card.bin_width
        return self.bin_width

    @cached_property
    def agents(self) -> AbstractPolicy:
        """Original, target and, where there is one, other agent along a leading axis.

        Raises:
            UnusableSetting: they are of another task.
        """
        return stack_agents(*(self._fitted(agent) for agent in load_agents(self.name)))

    def _fitted(self, agent: AbstractPolicy) -> AbstractPolicy:
        """An agent with tokens of the width that is asked for."""
        if not isinstance(agent, GaussianPolicy):
            return agent
        sizes = (len(agent.observation_mean), len(agent.raw_scale))
        if sizes != (self.task.observation_size, self.task.action_size):
            raise UnusableSetting(
                f"the agents of task {self.name!r} see {sizes[0]} numbers and act by {sizes[1]}, but the task has "
                f"{self.task.observation_size} and {self.task.action_size}: train them with `mpo agents train`"
            )
        return agent if self.token_width == agent.bin_width else with_bin_width(agent, self.token_width)

    @property
    def original(self) -> AbstractPolicy:
        """The policy that is to be improved."""
        return jax.tree.map(lambda leaf: jnp.asarray(leaf[0]), self.agents)

    @property
    def chunk(self) -> int:
        """Steps of a rollout in one call: no more than a trajectory of the data has."""
        return min(LONGEST_CHUNK, self.length)

    @cached_property
    def program(self) -> RolloutProgram:
        """The rollout program."""
        return load_program(self.name, self.chunk)

    def constants(self, horizon: int, *, mode: bool = False) -> tuple[float, float]:
        """Mean return of original and target agent: normalised scores 0 and 1.

        From the card where it knows the horizon and its agents act as they do here, otherwise measured here once, on
        `CONSTANT_EPISODES` episodes.

        Raises:
            UnusableSetting: the target is not better than the original over so short a horizon, or with so much noise.
        """
        low, high = self._known_constants(horizon, mode) or self._measured_constants(horizon, mode)
        if not low < high:
            raise UnusableSetting(
                f"{self._why_no_scores(horizon, mode)} for task {self.name!r}: its target agent returns "
                f"{return_text(high)}, no more than the original's {return_text(low)}"
            )
        return low, high

    def check_scores(self, horizon: int) -> None:
        """Refuses what could not be scored, by sampled or by mode actions, before anything is trained.

        Raises:
            UnusableSetting: see `constants`.
        """
        for mode in (False, True):
            self.constants(horizon, mode=mode)

    def _why_no_scores(self, horizon: int, mode: bool) -> str:
        if mode:
            return f"there are no scores by mode actions over horizon {horizon}"
        if self._deviate_as_on_the_card:
            return f"horizon {horizon} is too short"
        return f"tokens of width {self.token_width:g} make actions too random"

    def _known_constants(self, horizon: int, mode: bool) -> tuple[float, float] | None:
        """Those on the card, if it knows the horizon and its agents act as they do here."""
        if not (mode or self._deviate_as_on_the_card):
            return None
        original, target = (_measured(self.card, role, mode) for role in ("original", "target"))
        if horizon == self.card.horizon:
            return original.return_, target.return_
        if horizon not in original.earlier.keys() & target.earlier.keys():
            return None
        return original.earlier[horizon], target.earlier[horizon]

    @cached_property
    def _deviate_as_on_the_card(self) -> bool:
        """Whether tokens of this width leave the agents' action noise as it is: a wide one raises small deviations."""
        carded, here = load_agents(self.name)[:2], self.agents
        return all(
            not isinstance(agent, GaussianPolicy)
            or np.allclose(agent.scale, jax.tree.map(lambda leaf, at=at: leaf[at], here).scale)
            for at, agent in enumerate(carded)
        )

    def _measured_constants(self, horizon: int, mode: bool) -> tuple[float, float]:
        if (horizon, mode) not in self._constants:
            agent, episode = (index.reshape(-1) for index in np.indices((2, CONSTANT_EPISODES)))
            start, act = (
                jax.random.split(stream_key(0, Stream.AGENT_CARD, horizon, purpose), CONSTANT_EPISODES)
                for purpose in (Purpose.EVALUATION_START, Purpose.EVALUATION_ACTIONS)
            )
            keys, noise = (start[episode], act[episode]), 0.0 if mode else 1.0
            pair = jax.tree.map(lambda leaf: leaf[:2], self.agents)
            returns = self.program.returns(pair, agent, keys, horizon=horizon, noise=noise)
            original, target = returns.reshape(2, CONSTANT_EPISODES).mean(1)
            self._constants[horizon, mode] = float(original), float(target)
        return self._constants[horizon, mode]

    def compare(
        self,
        candidates: list[Candidate],
        settings: ComparisonSettings,
        reporter: Reporter,
        *,
        units_of: UnitsOf = made_anew,
    ) -> ComparisonReturns:
        """Trains and judges objectives on fresh units, as normalised scores.

        Args:
            units_of: as for a `Comparison`.
        """
        kept = self.kept_pairs
        banks_of = rolled_out if kept is None else KeptPairs(kept, self.task, self.token_width, settings)
        comparison = Comparison(self.program, self.agents, settings, units_of=units_of, banks_of=banks_of)
        returns = comparison.run(candidates, _stages(reporter, comparison.steps(len(candidates)), "Judging"))
        return ComparisonReturns(
            self.normalised(returns.sampled, settings.evaluation),
            self.normalised(returns.mode, settings.evaluation, mode=True) if settings.mode_actions else returns.mode,
            returns.clamped,
        )

    def policies_at_once(self, settings: ComparisonSettings) -> int:
        """How many policies of a comparison all devices train side by side at most."""
        return self.program.mesh.size * Comparison(self.program, self.agents, settings).jobs_at_once()

    def learning_curve(
        self,
        candidate: Candidate,
        settings: ComparisonSettings,
        reporter: Reporter,
        keep: Callable[[AbstractPolicy], None] = lambda policies: None,
    ) -> LearningCurve:
        """Trains one objective and judges it after every epoch; returns are not normalised.

        Args:
            keep: given the trained policies, leaves (numpy) with a leading unit axis.
        """
        advance = _stages(reporter, curve_steps(settings), "Judging every epoch")
        return learning_curve(self.program, self.agents, candidate, settings, advance, keep)

    def normalised(self, returns: np.ndarray, evaluation: EvaluationSettings, *, mode: bool = False) -> np.ndarray:
        """(J - J_original) / (J_target - J_original); where training or physics blew up, `FAILED_SCORE`."""
        low, high = self.constants(evaluation.horizon, mode=mode)
        return np.where(np.isfinite(returns), (returns - low) / (high - low), FAILED_SCORE)


def _stages(reporter: Reporter, amounts: dict[str, int], judging: str) -> Callable[[str, int], None]:
    """Turns the parts of a comparison into stages of a reporter."""
    stages = {"data": ("Fresh data", "step"), "train": ("Training", "policy"), "judge": (judging, "step")}
    current, done = [""], dict.fromkeys(stages, 0)

    def advance(what: str, amount: int) -> None:
        if current[0] != what:
            current[0] = what
            reporter.stage(stages[what][0], amounts[what], stages[what][1], done=done[what])
        done[what] += amount
        reporter.advance(amount)

    return advance


def comparison_settings(
    config: CellConfig, stream: Stream, units: int, *, mode_actions: bool = True
) -> ComparisonSettings:
    """A comparison on units of a stream, of the size and with the inner loop that a configuration says."""
    return ComparisonSettings(
        spec=parse_data_spec(config.data), rows=config.rows, inner=config.inner, evaluation=config.report.evaluation,
        seed=config.seed, stream=stream, units=units, mode_actions=mode_actions,
        jobs_at_once=config.search.members_at_once,
    )  # fmt: skip


def _measured(card: AgentsCard, role: str, mode: bool) -> Measured:
    record = card.original if role == "original" else card.target
    return record.mode if mode else record.sampled
