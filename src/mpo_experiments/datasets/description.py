"""What is in a preference dataset, as numbers."""

import jax
import numpy as np
from jaxtyping import Array, Float, Int

from adapters.storage.dataset_files import DatasetNumbers
from mpo_core.arrays import AnyArray
from mpo_core.data.rows import CHOSEN, ORIGINAL, OTHER, REJECTED, TARGET, PreferenceRows
from mpo_core.policies.policy import AbstractPolicy
from mpo_core.training.learners import row_log_probs

ROWS_AT_ONCE = 64
KINDS = ((ORIGINAL, ORIGINAL), (ORIGINAL, TARGET), (TARGET, TARGET))
"""Kinds of rows that are counted one by one."""


def dataset_numbers(rows: PreferenceRows, original: AbstractPolicy) -> DatasetNumbers:
    """Counts a dataset's rows, labels, returns, lengths and log-probs.

    Args:
        original: the agent that the log-probs are under.
    """
    return_, source = np.asarray(rows.return_), np.asarray(rows.source)
    steps, kinds = np.asarray(rows.alive).sum(-1), np.sort(source, axis=1)
    counts = [int((kinds == kind).all(1).sum()) for kind in KINDS]
    log_prob = token_log_probs(rows, original).mean(0)
    mean, deviation = return_.mean(0), return_.std(0, ddof=1)
    return DatasetNumbers(
        rows_original_original=counts[0],
        rows_original_target=counts[1],
        rows_target_target=counts[2],
        rows_with_other=int((source == OTHER).any(1).sum()),
        labels_flipped=float(np.asarray(rows.flipped).mean()),
        labels_wrong=float((return_[:, CHOSEN] < return_[:, REJECTED]).mean()),
        chosen_from_target=float((source[:, CHOSEN] == TARGET).mean()),
        return_chosen_mean=float(mean[CHOSEN]),
        return_chosen_deviation=float(deviation[CHOSEN]),
        return_rejected_mean=float(mean[REJECTED]),
        return_rejected_deviation=float(deviation[REJECTED]),
        return_difference_deviation=float(np.sqrt(np.mean(np.square(return_[:, CHOSEN] - return_[:, REJECTED])))),
        overlap=overlap(return_, source),
        steps_alive_mean=float(steps.mean()),
        ended_early=float((steps < rows.alive.shape[-1]).mean()),
        tokens_a_step=rows.action.shape[-1],
        token_log_prob_chosen_original=float(log_prob[CHOSEN]),
        token_log_prob_rejected_original=float(log_prob[REJECTED]),
    )


def overlap(return_: Float[np.ndarray, "row side"], source: Int[np.ndarray, "row side"]) -> float | None:
    """Probability that a random original-agent trajectory of these data beats a random target-agent one; ties are half.

    0 where every target trajectory is better than every original one, 0.5 where the two cannot be told apart by return
    (Mann-Whitney's U over the number of pairs). Pairs are drawn across rows, start states therefore differ. None where
    one of the agents has no trajectory here.
    """
    original, target = return_[source == ORIGINAL], np.sort(return_[source == TARGET])
    if not original.size or not target.size:
        return None
    beaten = np.searchsorted(target, original, side="left") + np.searchsorted(target, original, side="right")
    return float(beaten.mean(dtype=np.float64) / 2 / target.size)


def token_log_probs(rows: PreferenceRows, original: AbstractPolicy) -> Float[np.ndarray, "row side"]:
    """Mean token log-prob of every trajectory under the original agent, in nats; some rows at a time for memory."""
    count = rows.margin.shape[0]
    parts = (
        jax.tree.map(lambda leaf, at=first: leaf[at : at + ROWS_AT_ONCE], rows)
        for first in range(0, count, ROWS_AT_ONCE)
    )
    return np.concatenate([np.asarray(_means(original, part)) for part in parts])


@jax.jit
def _means(policy: AbstractPolicy, rows: PreferenceRows) -> Float[Array, "row side"]:
    tokens: AnyArray = rows.tokens
    return row_log_probs(policy, rows) / tokens
