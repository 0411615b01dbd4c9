"""Where the networks of a learned objective lie on the axis of log-probs: from the agents' card, or from data alone."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from mpo_core.mirror.monotone_network import UNIT_FRAME, Frame
from mpo_experiments.agents.lookup import load_card

LEAST_WIDTH = 0.05
"""Of a frame, in nats a token: of agents that act alike."""
LEAST_HEAP = 0.05
"""Share of the trajectories that a heap holds at least; fewer are outliers."""
LEAST_DISTANCE = 2.0
"""Of two heaps, as Ashman's D: below it they are one (theirs)."""
LEAST_DEVIATION = 0.01
"""Of a heap, in nats a token."""
ROUNDS = 200
"""Of expectation maximisation."""


def knows_tokens(task: str) -> bool:
    """Whether the card of a task's agents knows the log-probs of their tokens; older ones do not."""
    return load_card(task).token_log_probs is not None


def frame_of(tasks: Sequence[str]) -> Frame:
    """From the original agent's mean log-prob of its own tokens down to that of the target's, the mean over tasks.

    Tasks whose cards do not know them are left out; where none does, the units lie around 0.
    """
    known = [pair for pair in (load_card(task).token_log_probs for task in tasks) if pair is not None]
    if not known:
        return UNIT_FRAME
    own, target = np.mean(known, axis=0)
    return Frame(float(own), max(float(own - target), LEAST_WIDTH))


def frame_of_data(means: Sequence[Float[np.ndarray, " trajectory"]]) -> Frame:
    """The frame as far as data alone tell it, for a learner that knows no target agent; the mean over datasets.

    Trajectories of the original agent lie at its own log-prob, those of a better one below it: two heaps are own and
    wanted. Where there is one heap, its centre is the frame's, and the width is `LEAST_WIDTH`. Our reconstruction.

    Args:
        means: for each dataset the mean token log-prob of every trajectory under the original agent, in nats.

    Raises:
        ValueError: a dataset has no trajectory with a finite mean.
    """
    own, wanted = np.mean([heaps(one) for one in means], axis=0)
    return Frame(float(own), max(float(own - wanted), LEAST_WIDTH))


def heaps(means: Float[np.ndarray, " trajectory"]) -> tuple[float, float]:
    """Centres of the upper and the lower heap of some numbers; the median twice where they are one heap.

    A mixture of two normal densities by expectation maximisation, from the best cut in two (two-means, exact in one
    dimension). They are two heaps where each holds `LEAST_HEAP` of the numbers and their distance in deviations,
    Ashman's D = sqrt(2) |m1 - m2| / sqrt(s1^2 + s2^2) (Ashman et al., 1994), is at least `LEAST_DISTANCE`.

    Raises:
        ValueError: none of the numbers is finite.
    """
    found = np.sort(np.asarray(means, float)[np.isfinite(means)])
    if not found.size:
        raise ValueError("the data have no trajectory with a finite log-prob, so no frame can be read off them")
    one = float(np.median(found))
    if found.size < 4 or np.ptp(found) < LEAST_DEVIATION:
        return one, one
    weight, centre, deviation = _mixture(found, _cut(found))
    distance = np.sqrt(2) * abs(centre[1] - centre[0]) / np.sqrt(np.square(deviation).sum())
    if weight.min() < LEAST_HEAP or distance < LEAST_DISTANCE:
        return one, one
    return float(centre.max()), float(centre.min())


def _cut(found: Float[np.ndarray, " trajectory"]) -> int:
    """How many of the sorted numbers are below the cut in two that leaves the least squares within the parts."""
    below = np.arange(1, len(found))
    total, half = found.sum(), found.cumsum()[:-1]
    between = half**2 / below + (total - half) ** 2 / (len(found) - below)
    return int(below[between.argmax()])


def _mixture(
    found: Float[np.ndarray, " trajectory"], cut: int
) -> tuple[Float[np.ndarray, "2"], Float[np.ndarray, "2"], Float[np.ndarray, "2"]]:
    """Weights, means and deviations of two normal densities, from a first guess of which numbers are of the lower."""
    share = np.zeros((2, len(found)))
    share[0, :cut], share[1, cut:] = 1.0, 1.0
    for _ in range(ROUNDS):
        weight, centre, deviation = (part[:, None] for part in _parts(found, share))
        density = np.log(weight / deviation) - np.square((found - centre) / deviation) / 2
        share = np.exp(density - np.logaddexp.reduce(density, axis=0))
    return _parts(found, share)


def _parts(
    found: Float[np.ndarray, " trajectory"], share: Float[np.ndarray, "2 trajectory"]
) -> tuple[Float[np.ndarray, "2"], Float[np.ndarray, "2"], Float[np.ndarray, "2"]]:
    """Weights, means and deviations of the two parts, given which share of each number is of which."""
    count = np.maximum(share.sum(1), 1e-9)
    centre = share @ found / count
    variance = np.sum(share * np.square(found - centre[:, None]), axis=1) / count
    return count / len(found), centre, np.sqrt(np.maximum(variance, LEAST_DEVIATION**2))
