"""The log-probs at which an objective is looked at: those that a training met, or a range without any simulator."""

import dataclasses

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from mpo_core.data.rows import PreferenceRows
from mpo_core.mirror.distillation import MAP_NAMES
from mpo_core.mirror.mirror_objective import MirrorObjective
from mpo_core.objective.pair_log_probs import PairLogProbs
from mpo_experiments.show.moments import LAST, TIMES, within

RANGE_TOKENS, RANGE_POINTS = 100, 24
"""Length of a trajectory, and points along either axis, where only a range is given. Published coefficients of sums are
for about that length."""
MOST_ROWS = 128
"""Rows of a training behind the figures: more would cost minutes and show the same."""
HIGHEST = -0.02
"""The highest mean token log-prob of a range."""


@dataclasses.dataclass(frozen=True)
class Inputs:
    """Rows under a policy in training. Moment 0 is its start, moment m the end of epoch m."""

    log_prob: Float[np.ndarray, "moment row side"]
    """Sum of token log-probs, side 0 the chosen one."""
    reference: Float[np.ndarray, "moment row side"]
    """The same under the reference at that moment: the original agent, or the policy after SFT."""
    tokens: Float[np.ndarray, "row side"]
    margin: Float[np.ndarray, " row"]
    progress: Float[np.ndarray, " moment"]
    sft: int
    """The first so many moments belong to the SFT phase, and the objective does not see them."""
    trained: bool
    """Whether moments follow each other in a training."""
    source: Int[np.ndarray, "row side"] | None = None
    """Who made each trajectory, 0 the original agent, 1 the target; None where there is no data."""

    @property
    def means(self) -> Float[np.ndarray, "moment row side"]:
        """Mean token log-probs."""
        return self.log_prob / self.tokens

    def pair(self, moment: int) -> PairLogProbs:
        """The rows as an objective sees them at a moment."""
        log_prob, reference = self.log_prob[moment], self.reference[moment]
        return PairLogProbs(
            *(jnp.asarray(column, jnp.float32) for array in (log_prob, reference, self.tokens) for column in array.T),
            margin=jnp.asarray(self.margin, jnp.float32),
        )

    def seen(self) -> range:
        """The moments at which the objective is the loss."""
        return range(min(self.sft, len(self.progress) - 1), len(self.progress))

    def realised(self, mirror: MirrorObjective) -> dict[str, Float[np.ndarray, " value"]]:
        """Every number that each of the three maps was applied to."""
        found: dict[str, list[np.ndarray]] = {name: [] for name in MAP_NAMES}
        for moment in self.seen():
            sums, means = self.log_prob[moment], self.means[moment]
            found["phi_inv"].append((sums if mirror.bracket == "sum" else means).ravel())
            found["g"].append((sums if mirror.imitation == "sum" else means)[:, 0])
            found["psi"].append(np.asarray(mirror.preference(self.pair(moment), float(self.progress[moment]))))
        return {name: np.concatenate(values) for name, values in found.items()}


def epoch_inputs(
    by_epoch: Float[np.ndarray, "epoch row side"],
    original: Float[np.ndarray, "row side"],
    rows: PreferenceRows,
    sft_epochs: int,
) -> Inputs:
    """What an objective met in a training, from the rows' log-probs after every epoch.

    Args:
        original: log-probs under the policy that training started from.
        sft_epochs: the reference is the policy after so many epochs.
    """
    log_prob = np.concatenate([original[None], by_epoch])
    moments, epochs = len(log_prob), len(by_epoch)
    reference = np.where((np.arange(moments) >= sft_epochs)[:, None, None], log_prob[sft_epochs], original)
    progress = np.minimum(np.arange(moments) / epochs, LAST)
    tokens, margin, source = (np.asarray(leaf) for leaf in (rows.tokens, rows.margin, rows.source))
    return Inputs(log_prob, reference, np.maximum(tokens, 1.0), margin, progress, sft_epochs, True, source)


def range_inputs(low: float) -> Inputs:
    """Every pair of mean token log-probs on a grid from `low` up, the reference halfway, at all of training alike."""
    axis = np.linspace(low, HIGHEST, RANGE_POINTS)
    rows = np.stack(np.meshgrid(axis, axis, indexing="ij"), -1).reshape(-1, 2) * RANGE_TOKENS
    shape = (len(TIMES), *rows.shape)
    return Inputs(
        log_prob=np.broadcast_to(rows, shape), reference=np.full(shape, 0.5 * low * RANGE_TOKENS),
        tokens=np.full(rows.shape, float(RANGE_TOKENS)), margin=np.ones(len(rows)),
        progress=np.array([within(time) for time in TIMES]), sft=0, trained=False,
    )  # fmt: skip
