"""Objectives on the same fresh units: each trains from the original agent on every unit, then the policies are judged.

Tuning and the final table both run here; only the seed stream differs.
"""

import dataclasses
from collections.abc import Callable, Iterator
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from mpo_core.data.generate_pairs import generate_banks
from mpo_core.data.pair_bank import PairBank, label_pairs
from mpo_core.data.specification import DataSpec
from mpo_core.evaluation.candidates import Candidate, CandidateTraining
from mpo_core.evaluation.jobs import Units, job_size, make_units
from mpo_core.memory import UNIT_COPIES, jobs_at_once, units_at_once
from mpo_core.policies.policy import AbstractPolicy
from mpo_core.rollout.program import RolloutProgram
from mpo_core.rollout.task import Task
from mpo_core.seeds import Purpose, Stream, stream_key
from mpo_core.settings import EvaluationSettings, InnerLoopSettings, RowSettings


@dataclasses.dataclass(frozen=True)
class ComparisonSettings:
    """On what candidates are compared."""

    spec: DataSpec
    rows: RowSettings
    inner: InnerLoopSettings
    evaluation: EvaluationSettings
    seed: int
    stream: Stream
    first_unit: int = 0
    units: int = 12
    mode_actions: bool = True
    """Whether policies are also judged by their mode actions."""
    jobs_at_once: int = 0
    """Policies that a device trains side by side; 0: one on CPUs, as many as fit on an accelerator."""


class ComparisonReturns(eqx.Module):
    """Mean return of every candidate's policy on every unit; `mode` is NaN where it was not asked for."""

    sampled: Float[np.ndarray, "candidate unit"]
    mode: Float[np.ndarray, "candidate unit"]
    clamped: Float[np.ndarray, "candidate unit"]
    """Share of trajectories, over all updates, whose mean token log-prob lay above the clamp of logits."""


UnitsOf = Callable[[int, int, Callable[[], Units]], Units]
"""Given the first of some units, their number and what makes their data: the data."""


RollOut = Callable[[list[int]], Iterator[PairBank]]
"""Rolls out the pairs of some units of a stream, one after another where that is as fast as together."""
BanksOf = Callable[[list[int], RollOut], list[PairBank]]
"""Given some units, and what rolls out those of some: the pairs of each."""


def made_anew(first: int, count: int, make: Callable[[], Units]) -> Units:
    """Data of units that nothing is kept of."""
    return make()


def rolled_out(units: list[int], make: RollOut) -> list[PairBank]:
    """Pairs of units that nothing is kept of."""
    return list(make(units))


class Comparison:
    """Candidates on the units of some settings; what is compiled is shared by all comparisons of such sizes.

    Args:
        agents: original, target and, where there is one, other agent along a leading axis.
        units_of: may keep data of units, for comparisons that differ in nothing but their units and learning rate.
        banks_of: may keep pairs of trajectories, which follow from agents, kind and size of the data, and seeds.
    """

    def __init__(
        self,
        program: RolloutProgram,
        agents: AbstractPolicy,
        settings: ComparisonSettings,
        *,
        units_of: UnitsOf = made_anew,
        banks_of: BanksOf = rolled_out,
    ):
        self._program, self._agents, self._settings = program, agents, settings
        self._units_of, self._banks_of = units_of, banks_of
        self._original = jax.tree.map(lambda leaf: jnp.asarray(leaf[0]), agents)

    def run(
        self, candidates: list[Candidate], advance: Callable[[str, int], None] = lambda what, jobs: None
    ) -> ComparisonReturns:
        """Trains and judges every candidate on every unit.

        Args:
            advance: told what is under way ("data", "train", "judge") and how many more of `steps` are done: 0 as a
                part begins, which is when its programs are compiled.
        """
        settings = self._settings
        trained = []
        for first in range(0, settings.units, self.units_at_once()):
            batch = range(first, min(first + self.units_at_once(), settings.units))
            advance("data", 0)
            make = partial(self.make_units, batch, advance)
            units = self._units_of(settings.first_unit + first, len(batch), make)
            advance("train", 0)
            trained.append(self.train(candidates, units, len(batch), advance))
        whole, clamped = jax.tree.map(lambda *parts: np.concatenate(parts, axis=1), *trained)
        advance("judge", 0)
        sampled = self.evaluate(whole, 1.0, advance)
        mode = self.evaluate(whole, 0.0, advance) if settings.mode_actions else np.full_like(sampled, np.nan)
        return ComparisonReturns(sampled, mode, clamped)

    def steps(self, candidates: int) -> dict[str, int]:
        """How far `advance` will count for each part of the work."""
        settings = self._settings
        environment = settings.units * candidates * settings.evaluation.episodes * settings.evaluation.horizon
        return {
            "data": settings.units * 2 * settings.rows.count * settings.rows.length,
            "train": settings.units * candidates,
            "judge": (1 + settings.mode_actions) * environment,
        }

    def units_at_once(self) -> int:
        """How many units are held in memory together."""
        return units_at_once(unit_bytes(self._program.task, self._settings.rows), self._settings.units)

    def jobs_at_once(self) -> int:
        """How many policies a device trains side by side at most."""
        settings = self._settings
        size = job_size(self._original, (settings.rows.count, settings.rows.length), settings.inner)
        held = UNIT_COPIES * self.units_at_once() * unit_bytes(self._program.task, settings.rows)
        return jobs_at_once(settings.jobs_at_once, size.bytes, held)

    def _key(self, unit: int, purpose: Purpose) -> Array:
        return stream_key(self._settings.seed, self._settings.stream, self._settings.first_unit + unit, purpose)

    def make_units(self, batch: range, advance: Callable[[str, int], None] = lambda what, jobs: None) -> Units:
        """Fresh data for some units, padded to as many as fit in memory at once."""
        settings = self._settings
        made: list[int] = []

        def make(units: list[int]) -> Iterator[PairBank]:
            made.extend(units)
            return self._roll_out(units, partial(advance, "data"))

        banks = self._banks_of([settings.first_unit + unit for unit in batch], make)
        if kept := len(batch) - len(made):
            advance("data", kept * 2 * settings.rows.count * settings.rows.length)
        banks = [*banks, *banks[-1:] * (self.units_at_once() - len(banks))]  # one shape for every batch
        stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *banks)
        label_key = jnp.stack([self._key(unit, Purpose.LABELS) for unit in batch])
        training_key = jnp.stack([self._key(unit, Purpose.TRAINING) for unit in batch])
        missing = self.units_at_once() - len(batch)
        pad = jnp.concatenate([jnp.arange(len(batch)), jnp.zeros(missing, jnp.int32)]).astype(jnp.int32)
        return _labelled(self._original, stacked, (settings.spec, settings.inner), label_key[pad], training_key[pad])

    def _roll_out(self, units: list[int], advance: Callable[[int], None]) -> Iterator[PairBank]:
        settings = self._settings
        keys = [stream_key(settings.seed, settings.stream, unit) for unit in units]
        together = len(keys) if self._program.fills_blocks else 1
        for first in range(0, len(keys), together):
            some = keys[first : first + together]
            yield from generate_banks(self._program, self._agents, settings.spec, settings.rows, some, advance)

    def train(
        self,
        candidates: list[Candidate],
        units: Units,
        count: int,
        advance: Callable[[str, int], None] = lambda what, jobs: None,
    ) -> tuple[AbstractPolicy, np.ndarray]:
        """Policies and clamp rates on the first `count` units, with leading axes (candidate, unit), on the host."""
        train = CandidateTraining(self._original, self._settings.inner, self._program.mesh, self.jobs_at_once())
        return train(candidates, units, count, partial(advance, "train"))

    def evaluate(
        self,
        policies: AbstractPolicy,
        noise: float,
        advance: Callable[[str, int], None] = lambda what, jobs: None,
    ) -> Float[np.ndarray, "candidate unit"]:
        """Mean return of policies on their units.

        Args:
            policies: leaves (numpy) with leading axes (candidate, unit).
            noise: 1 samples actions, 0 takes the mode.
        """
        evaluation = self._settings.evaluation
        candidates, units = jax.tree.leaves(policies)[0].shape[:2]
        flat = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), policies)
        reset_key, action_key = (
            jnp.stack([jax.random.split(self._key(unit, purpose), evaluation.episodes) for unit in range(units)])
            for purpose in (Purpose.EVALUATION_START, Purpose.EVALUATION_ACTIONS)
        )
        policy, unit, episode = (
            index.reshape(-1)
            for index in np.broadcast_arrays(
                np.arange(candidates * units).reshape(candidates, units, 1),
                np.arange(units)[None, :, None],
                np.arange(evaluation.episodes)[None, None, :],
            )
        )
        keys = (reset_key[unit, episode], action_key[unit, episode])
        returns = []
        for block in self._program.blocks(flat, policy, keys, horizon=evaluation.horizon, noise=noise):
            returns.append(block.return_)
            advance("judge", len(block.return_) * evaluation.horizon)
        return np.concatenate(returns).reshape(candidates, units, evaluation.episodes).mean(-1)


def unit_bytes(task: Task, size: RowSettings) -> int:
    """Size of one unit's rows."""
    return 4 * (task.observation_size + task.action_size + 1) * 2 * size.count * size.length


@partial(jax.jit, static_argnums=2)
def _labelled(
    original: AbstractPolicy,
    banks: PairBank,
    kind: tuple[DataSpec, InnerLoopSettings],
    label_key: Array,
    training_key: Array,
) -> Units:
    spec, inner = kind
    rows = jax.vmap(lambda bank, key: label_pairs(bank, spec, key=key))(banks, label_key)
    return make_units(original, rows, training_key, inner)
