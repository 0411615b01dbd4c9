"""What a learned objective sees: the rows of its task and data under the original agent and the policies it trains."""

import dataclasses
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mpo_core.data.rows import PreferenceRows
from mpo_core.evaluation.comparison import Comparison
from mpo_core.failures import WorkFailed
from mpo_core.mirror.mirror_objective import MirrorObjective
from mpo_core.mirror.realised import Realised, even_samples, joined
from mpo_core.objective.pair_log_probs import PairLogProbs
from mpo_core.policies.policy import AbstractPolicy
from mpo_core.seeds import Stream
from mpo_core.settings import InnerLoopSettings
from mpo_core.training.inner_loop import train_by_epoch
from mpo_core.training.learners import row_log_probs
from mpo_experiments.progress import Reporter
from mpo_experiments.settings.listed import named
from mpo_experiments.settings.run_config import CellConfig, build_config
from mpo_experiments.testbed import Testbed, comparison_settings

UNITS_OF_THE_FIT = 2
"""First units of the selection stream: one is fitted on, one measured on."""
ROWS = 96
"""Rows of a unit that are looked at after every epoch."""
RANGE_SAMPLES, RANGE_LENGTH = 1500, 100.0
"""Samples where there is no simulator, and their length in tokens."""


def conditions(
    card: dict[str, Any], *, task: str | None, data: str | None, preset: str | None, seed: int
) -> CellConfig:
    """The settings that an objective file's search had, or those that are asked for instead.

    Raises:
        ValueError: one sentence: neither the card nor the command line names a task, or something is not allowed.
    """
    found = card["provenance"]
    asked = {"task": task, "data": data, "preset": preset}
    known = {name: next(iter(named(found.get(name))), None) for name in asked}
    chosen = {name: value or known[name] for name, value in asked.items() if value or known[name]}
    if "task" not in chosen:
        raise ValueError("the objective file does not say on which task it was found: name one with --task")
    sizes = {}
    if preset is None and task in (None, known["task"]):
        sizes = {name: found[name] for name in ("rows", "inner") if isinstance(found.get(name), dict)}
    return build_config({"seed": seed} | sizes | chosen)


def training_samples(
    testbed: Testbed, config: CellConfig, objective: MirrorObjective, sft_epochs: int, units: int, reporter: Reporter
) -> list[Realised]:
    """Samples of each unit: its rows at the start of training and after every epoch of the objective.

    Raises:
        WorkFailed: training with the objective gave no finite log-probs.
    """
    settings = comparison_settings(config, Stream.SELECTION, units, mode_actions=False)
    inner = dataclasses.replace(config.inner, sft_epochs=sft_epochs)
    steps = units * 2 * config.rows.count * config.rows.length
    reporter.stage("Fresh data", steps, "step")
    made = Comparison(testbed.program, testbed.agents, settings).make_units(
        range(units), lambda _, done: reporter.advance(done)
    )
    reporter.stage("Training", units, "policy")
    found = []
    for place in range(units):
        unit = jax.tree.map(lambda leaf, place=place: leaf[place], made)
        seen = _seen(objective, testbed.original, unit.rows, unit.reference, unit.training_key, inner)
        log_probs, tokens, last = map(np.asarray, seen)
        found.append(_samples(log_probs, tokens, last, sft_epochs))
        reporter.advance(1)
    if not all(len(samples) for samples in found):
        raise WorkFailed("training with this objective gave no finite log-probs: give --range instead of a task")
    return found


def range_samples(low: float) -> list[Realised]:
    """Two draws of samples whose mean token log-probs are even over (low, 0), without a simulator."""
    span = (low, -1e-3)
    return [even_samples(span, span, RANGE_LENGTH, RANGE_SAMPLES, seed=seed) for seed in (0, 1)]


@partial(jax.jit, static_argnums=5)
def _seen(
    objective: MirrorObjective,
    original: AbstractPolicy,
    rows: PreferenceRows,
    reference: jax.Array,
    key: jax.Array,
    inner: InnerLoopSettings,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Log-probs of some rows at the start and after every epoch (moment, row, side), their lengths (row, side), and
    the last update's progress."""
    policies, _ = train_by_epoch(objective, original, rows, inner, key=key, reference=reference)
    some = slice(None, None, max(1, rows.margin.shape[0] // ROWS))
    few = jax.tree.map(lambda leaf: leaf[some], rows)
    after = jax.lax.map(lambda policy: row_log_probs(policy, few), policies)
    updates = inner.epochs * (rows.margin.shape[0] // inner.minibatch)
    return jnp.concatenate([reference[None, some], after]), jnp.maximum(few.tokens, 1.0), jnp.asarray(1 - 1 / updates)


def _samples(log_probs: np.ndarray, tokens: np.ndarray, last: np.ndarray, sft_epochs: int) -> Realised:
    moments = np.minimum(np.arange(len(log_probs)) / (len(log_probs) - 1), float(last))
    reference, nothing = log_probs[sft_epochs], np.zeros(len(tokens))
    parts = []
    for moment, seen in list(zip(moments, log_probs, strict=True))[sft_epochs:]:
        fine = np.isfinite(seen).all(1) & np.isfinite(reference).all(1)
        (chosen, rejected), (ref_chosen, ref_rejected), lengths = seen[fine].T, reference[fine].T, tokens[fine].T
        pair = PairLogProbs(chosen, rejected, ref_chosen, ref_rejected, lengths[0], lengths[1], margin=nothing[fine])
        parts.append(Realised(np.full(int(fine.sum()), moment), pair))
    return joined(parts)
