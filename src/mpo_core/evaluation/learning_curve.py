"""How an objective works over time: the policy judged after every epoch, beside what the updates saw of the rows."""

from collections.abc import Callable, Iterator
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from mpo_core.devices import population_mesh
from mpo_core.evaluation.candidates import Candidate
from mpo_core.evaluation.comparison import Comparison, ComparisonSettings
from mpo_core.evaluation.jobs import Jobs, Units, sharded, train_shard
from mpo_core.evaluation.side_by_side import Block, arrange
from mpo_core.policies.policy import AbstractPolicy
from mpo_core.rollout.program import RolloutProgram
from mpo_core.training.trace import TrainingTrace, first_bad_update


class LearningCurve(eqx.Module):
    """An entry a unit and epoch. Log-probs are means over the tokens of a trajectory, then over the epoch's updates."""

    return_: Float[np.ndarray, "unit epoch"]
    """Mean return of the policy after the epoch, sampled actions."""
    final_mode: Float[np.ndarray, " unit"]
    """Mean return of the policy after the last epoch, mode actions."""
    loss: Float[np.ndarray, "unit epoch"]
    accuracy: Float[np.ndarray, "unit epoch"]
    """Share of rows whose chosen trajectory has the higher mean token log-prob."""
    margin: Float[np.ndarray, "unit epoch"]
    """Mean token log-prob of the chosen minus that of the rejected trajectory."""
    chosen_mean: Float[np.ndarray, "unit epoch"]
    rejected_mean: Float[np.ndarray, "unit epoch"]
    clamped: Float[np.ndarray, "unit epoch"]
    """Share of trajectories whose mean token log-prob lies above the clamp of logits."""
    finite: Float[np.ndarray, "unit epoch"]
    """Share of updates with finite loss and gradient."""
    first_bad: Int[np.ndarray, " unit"]
    """The first update whose loss or gradient is not finite, counted over all epochs; -1 where there is none."""


def learning_curve(
    program: RolloutProgram,
    agents: AbstractPolicy,
    candidate: Candidate,
    settings: ComparisonSettings,
    advance: Callable[[str, int], None] = lambda what, done: None,
    keep: Callable[[AbstractPolicy], None] = lambda policies: None,
) -> LearningCurve:
    """Trains on every unit of a comparison and judges the policy after every epoch, on the unit's own episodes.

    Args:
        agents: original and target agent along a leading axis.
        advance: told what is under way ("data", "train", "judge") and how much more of it is done: 0 as it begins.
        keep: given the policies after the last epoch, leaves (numpy) with a leading unit axis.
    """
    comparison = Comparison(program, agents, settings)
    train = _Training(program, agents, candidate, settings, comparison.jobs_at_once())
    policies, traces = [], []
    at_once = comparison.units_at_once()
    for first in range(0, settings.units, at_once):
        batch = range(first, min(first + at_once, settings.units))
        advance("data", 0)
        units = comparison.make_units(batch, advance)
        advance("train", 0)
        for by_epoch, trace in train(units, len(batch)):
            policies.append(by_epoch)
            traces.append(trace)
            advance("train", len(trace.loss))
    whole, trace = (jax.tree.map(lambda *parts: np.concatenate(parts), *found) for found in (policies, traces))
    keep(jax.tree.map(lambda leaf: leaf[:, -1], whole))
    stacked = jax.tree.map(lambda leaf: np.moveaxis(leaf, 0, 1), whole)
    advance("judge", 0)
    return_ = comparison.evaluate(stacked, 1.0, advance).T
    final_mode = comparison.evaluate(jax.tree.map(lambda leaf: leaf[-1:], stacked), 0.0, advance)[0]
    return _curve(return_, final_mode, trace)


def steps(settings: ComparisonSettings) -> dict[str, int]:
    """How far `advance` will count for each part of the work."""
    evaluation, units = settings.evaluation, settings.units
    return {
        "data": units * 2 * settings.rows.count * settings.rows.length,
        "train": units,
        "judge": units * (settings.inner.epochs + 1) * evaluation.episodes * evaluation.horizon,
    }


class _Training:
    """Trains one objective on units, as many side by side as the devices take, and keeps the policy of every epoch."""

    def __init__(
        self,
        program: RolloutProgram,
        agents: AbstractPolicy,
        candidate: Candidate,
        settings: ComparisonSettings,
        at_once: int,
    ):
        mesh = program.mesh if settings.units >= program.mesh.size else population_mesh(settings.units)
        self._mesh, self._at_once = mesh, at_once
        original, objective = jax.tree.map(lambda leaf: jnp.asarray(leaf[0]), agents), candidate.objective
        inner = candidate.inner(settings.inner)

        @partial(jax.jit, static_argnums=2)
        def train(jobs: Jobs, units: Units, block: Block) -> tuple[AbstractPolicy, TrainingTrace]:
            body = partial(train_shard, settings=inner, block=block, by_epoch=True)
            return sharded(body, mesh)(jobs, objective, units, original)

        self._train = train

    def __call__(self, units: Units, count: int) -> Iterator[tuple[AbstractPolicy, TrainingTrace]]:
        """Policies and traces of the first `count` units, some units after others, on the host."""
        plan = arrange(np.arange(count), self._mesh.size, self._at_once)
        size = self._mesh.size * plan.block.jobs
        for first in range(0, len(plan.job), size):
            unit = plan.job[first : first + size]
            found = self._train(Jobs(None, jnp.asarray(unit, jnp.int32)), units, plan.block)
            kept = int(np.sum((plan.place >= first) & (plan.place < first + size)))
            yield jax.tree.map(lambda leaf, kept=kept: np.asarray(leaf)[:kept], found)


def _curve(
    return_: Float[np.ndarray, "unit epoch"], final_mode: Float[np.ndarray, " unit"], trace: TrainingTrace
) -> LearningCurve:
    mean = jax.tree.map(lambda leaf: leaf.mean(-1), trace)
    first_bad = first_bad_update(trace.finite.reshape(len(trace.finite), -1))
    return LearningCurve(
        return_=return_, final_mode=final_mode, loss=mean.loss, accuracy=mean.accuracy,
        margin=mean.chosen_mean - mean.rejected_mean, chosen_mean=mean.chosen_mean,
        rejected_mean=mean.rejected_mean, clamped=mean.clamped, finite=mean.finite,
        first_bad=np.asarray(first_bad),
    )  # fmt: skip
