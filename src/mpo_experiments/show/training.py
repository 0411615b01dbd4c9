"""The real trainings behind the figures of `mpo show`."""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from mpo_core.evaluation.comparison import Comparison, ComparisonSettings
from mpo_core.evaluation.jobs import Units
from mpo_core.losses.switch import stack_objectives
from mpo_core.policies.policy import AbstractPolicy
from mpo_core.rollout.program import RolloutProgram
from mpo_core.seeds import Stream
from mpo_core.settings import InnerLoopSettings
from mpo_core.training.inner_loop import train_by_epoch
from mpo_core.training.learners import row_log_probs
from mpo_experiments.progress import Reporter
from mpo_experiments.settings.run_config import CellConfig
from mpo_experiments.show.curves import return_curves
from mpo_experiments.show.inputs import MOST_ROWS, Inputs, epoch_inputs
from mpo_experiments.show.plan import ShowPlan
from mpo_experiments.show.returns import Curves
from mpo_experiments.show.subject import Shown
from mpo_experiments.testbed import Testbed, comparison_settings


def train_shown(plan: ShowPlan, config: CellConfig, reporter: Reporter) -> tuple[list[Inputs], Curves | None]:
    """What every objective of a plan met in a training, and return curves where the plan asks for them.

    Raises:
        UnusableSetting: only the training could tell that a setting is unusable.
        OSError: a curve cannot be kept.
    """
    testbed = Testbed(config.task, length=config.rows.length)
    comparison = comparison_settings(config, Stream.SELECTION, plan.request.units or 1)
    inputs = trained_inputs(testbed.program, testbed.agents, plan.shown, comparison, reporter)
    return inputs, return_curves(testbed, plan.shown, comparison, reporter, plan.out) if plan.request.units else None


def trained_inputs(
    program: RolloutProgram,
    agents: AbstractPolicy,
    shown: list[Shown],
    settings: ComparisonSettings,
    reporter: Reporter,
) -> list[Inputs]:
    """Trains every objective on the same fresh rows, and keeps what it met.

    Args:
        agents: original and target agent along a leading axis.
        settings: its first unit is trained on, with at most `MOST_ROWS` rows.
    """
    rows = dataclasses.replace(settings.rows, count=min(settings.rows.count, MOST_ROWS))
    settings = dataclasses.replace(settings, rows=rows, units=1)
    comparison = Comparison(program, agents, settings)
    reporter.stage("Fresh data", 2 * rows.count * rows.length, "step")
    unit = jax.tree.map(
        lambda leaf: leaf[0], comparison.make_units(range(1), lambda what, amount: reporter.advance(amount))
    )
    reporter.stage("Training", len(shown), "policy")
    found: dict[int, Inputs] = {}
    loops = [one.candidate.inner(settings.inner) for one in shown]
    for inner in sorted(set(loops), key=lambda one: (one.sft_epochs, one.learning_rate)):
        places = [place for place, one in enumerate(loops) if one == inner]
        train = _program([shown[place] for place in places], agents, inner)
        for place, by_epoch in zip(places, np.asarray(train(unit)), strict=True):
            found[place] = epoch_inputs(by_epoch, np.asarray(unit.reference), unit.rows, inner.sft_epochs)
        reporter.advance(len(places))
    return [found[place] for place in range(len(shown))]


def _program(
    shown: list[Shown], agents: AbstractPolicy, inner: InnerLoopSettings
) -> Callable[[Units], Float[Array, "objective epoch row side"]]:
    """One program for all objectives with the same inner loop."""
    original = jax.tree.map(lambda leaf: jnp.asarray(leaf[0]), agents)
    stacked = jax.tree.map(jnp.asarray, stack_objectives([one.objective for one in shown]))

    @jax.jit
    def train(unit: Units) -> Float[Array, "objective epoch row side"]:
        def one(objective) -> Float[Array, "epoch row side"]:
            policies, _ = train_by_epoch(
                objective, original, unit.rows, inner, key=unit.training_key, reference=unit.reference
            )
            return jax.lax.map(lambda policy: row_log_probs(policy, unit.rows), policies)

        return jax.lax.map(one, stacked)

    return train
