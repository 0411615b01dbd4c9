"""Objectives trained on units, each as if alone: what they have in common is run once, the rest side by side."""

import dataclasses
from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Float, Int

from mpo_core.devices import round_up
from mpo_core.evaluation.jobs import Jobs, Units, sft_phases, train_jobs
from mpo_core.evaluation.side_by_side import ONE_AFTER_ANOTHER, Block, arrange, arrange_calls
from mpo_core.losses.switch import stack_objectives
from mpo_core.objective.interface import AbstractObjective
from mpo_core.policies.policy import AbstractPolicy
from mpo_core.settings import InnerLoopSettings

JOBS_A_CALL = 8
"""Policies that CPUs train in one call, so that there is progress to show; accelerators train as many as fit."""


@dataclasses.dataclass(frozen=True)
class Candidate:
    """An objective, the epochs of SFT that go before it, and the learning rate of both."""

    objective: AbstractObjective
    sft_epochs: int = 0
    learning_rate: float | None = None
    """None: that of the inner loop's settings."""

    def inner(self, settings: InnerLoopSettings) -> InnerLoopSettings:
        """An inner loop with these epochs and at this rate."""
        rate = settings.learning_rate if self.learning_rate is None else self.learning_rate
        return dataclasses.replace(settings, sft_epochs=self.sft_epochs, learning_rate=rate)


@dataclasses.dataclass(frozen=True)
class _AfterSft:
    """Units with their phases of SFT of some length, if any."""

    units: Units
    first: dict[float | None, int] = dataclasses.field(default_factory=dict)
    """The phase of the first unit at each learning rate; those of the other units follow."""

    def first_of(self, rates: list[float | None]) -> Int[np.ndarray, " candidate"] | None:
        """Of candidates at these rates; None where there are no phases."""
        return np.array([self.first[rate] for rate in rates]) if self.first else None


@dataclasses.dataclass(frozen=True)
class CandidateTraining:
    """How candidates are trained; what is compiled is shared by all of the same sizes."""

    original: AbstractPolicy
    """Where training begins."""
    inner: InnerLoopSettings
    """Its learning rate is that of candidates without one of their own; its epochs of SFT are not looked at."""
    mesh: Mesh
    at_once: int
    """Policies that a device trains side by side at most."""

    def __call__(
        self,
        candidates: list[Candidate],
        units: Units,
        count: int,
        advance: Callable[[int], None] = lambda jobs: None,
    ) -> tuple[AbstractPolicy, np.ndarray]:
        """Policies and clamp rates on the first `count` units, with leading axes (candidate, unit), on the host.

        Args:
            advance: told how many more policies are trained.
        """
        trained: list = [None] * len(candidates)
        for sft_epochs, begun in self._after_sft(candidates, units).items():
            group = [i for i, candidate in enumerate(candidates) if candidate.sft_epochs == sft_epochs]
            if not group:
                continue
            policies = self._train_group([candidates[i] for i in group], begun, count, advance)
            for place, i in enumerate(group):
                trained[i] = jax.tree.map(lambda leaf, place=place: leaf[place], policies)
        return jax.tree.map(lambda *leaves: np.stack(leaves), *trained)

    def _after_sft(self, candidates: list[Candidate], units: Units) -> dict[int, _AfterSft]:
        """Where training begins, by epochs of SFT; phases of SFT are run once, whatever objectives come after them."""
        epochs = tuple(sorted({one.sft_epochs for one in candidates} - {0}))
        if not epochs:
            return {0: _AfterSft(units)}
        rates = list(dict.fromkeys(one.learning_rate for one in candidates if one.sft_epochs))
        first = {rate: place * units.reference.shape[0] for place, rate in enumerate(rates)}
        how = self.inner, self.mesh, epochs, self._rates(rates), self.at_once
        phases = _sft_phases(units, self.original, *how)
        begun = [dataclasses.replace(units, after_sft=own) for own in phases]
        return {0: _AfterSft(units)} | {own: _AfterSft(some, first) for own, some in zip(epochs, begun, strict=True)}

    def _rates(self, rates: list[float | None]) -> Float[Array, " rate"] | None:
        """Learning rates; None where all are that of the settings, which is compiled in."""
        if set(rates) == {None}:
            return None
        default = self.inner.learning_rate
        return jnp.array([default if rate is None else rate for rate in rates], jnp.float32)

    def _train_group(
        self, candidates: list[Candidate], begun: _AfterSft, count: int, advance
    ) -> tuple[AbstractPolicy, np.ndarray]:
        """Trains candidates that have as many epochs of SFT."""
        inner, mesh = dataclasses.replace(self.inner, sft_epochs=candidates[0].sft_epochs), self.mesh
        rates = [one.learning_rate for one in candidates]
        learning_rate, first_phase = self._rates(rates), begun.first_of(rates)
        stacked = stack_objectives([one.objective for one in candidates])
        candidate, unit = (index.reshape(-1) for index in np.indices((len(candidates), count)))
        plan = arrange(unit, mesh.size, self.at_once)
        size = mesh.size * plan.block.jobs
        if plan.block == ONE_AFTER_ANOTHER:
            size = round_up(JOBS_A_CALL, mesh)
            plan = arrange_calls(len(unit), mesh.size, size)
        parts = []
        for first in range(0, len(plan.job), size):
            at = plan.job[first : first + size]
            asked = None if plan.asked is None else jnp.asarray(plan.asked[first : first + size])
            own, rate = jax.tree.map(lambda leaf, at=at: leaf[candidate[at]], (stacked, learning_rate))
            phase = None if first_phase is None else jnp.asarray(first_phase[candidate[at]] + unit[at], jnp.int32)
            jobs = Jobs(own, jnp.asarray(unit[at], jnp.int32), asked, rate, phase)
            parts.append(jax.tree.map(np.asarray, _trained(jobs, begun.units, self.original, inner, mesh, plan.block)))
            advance(int(np.sum((plan.place >= first) & (plan.place < first + size))))
        whole = jax.tree.map(lambda *leaves: np.concatenate(leaves)[plan.place], *parts)
        return jax.tree.map(lambda leaf: leaf.reshape(len(candidates), count, *leaf.shape[1:]), whole)


_sft_phases = jax.jit(sft_phases, static_argnums=(2, 3, 4, 6))


@partial(jax.jit, static_argnums=(3, 4, 5))
def _trained(
    jobs: Jobs, units: Units, original: AbstractPolicy, inner: InnerLoopSettings, mesh: Mesh, block: Block
) -> tuple[AbstractPolicy, Array]:
    nothing = jax.tree.map(lambda _: None, jobs.objective)
    policies, trace = train_jobs(jobs, nothing, units, original, inner, mesh, block)
    return policies, trace.clamped.mean(1)
