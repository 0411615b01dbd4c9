"""Heaps of numbers: whether log-probs lie in one or two, and how many margins lie on the wrong side."""

import dataclasses

import numpy as np
from jaxtyping import Float

ROUNDS = 500
APART = 2.0
"""Distance of two heaps, in standard deviations, under which they count as one."""
LEAST_SHARE = 0.03
"""Of a heap that counts."""
CLEAR = 1.0
"""Mean of the margins in their standard deviations under which a mirrored heap cannot be told from a broad one."""


@dataclasses.dataclass(frozen=True)
class Heaps:
    """One or two Gaussian heaps, the higher first."""

    means: tuple[float, ...]
    deviations: tuple[float, ...]
    shares: tuple[float, ...]

    def belongs_to_first(self, values: Float[np.ndarray, "*any"]) -> Float[np.ndarray, "*any"]:
        """Probability that each value is of the higher heap."""
        parts = _weighted(values, np.array(self.means), np.array(self.deviations), np.array(self.shares))
        return np.exp(parts[..., 0] - np.logaddexp.reduce(parts, axis=-1))


def heaps(values: Float[np.ndarray, " value"]) -> Heaps:
    """Two heaps if a mixture of two Gaussians explains the values better than one (BIC), they lie apart and neither is
    a remnant; else one."""
    one = Heaps((float(values.mean()),), (_deviation(values),), (1.0,))
    two = _two(values)
    penalty = 1.5 * np.log(len(values))  # three parameters more
    gain = _log_likelihood(values, two) - _log_likelihood(values, one)
    spread = np.sqrt(np.mean(np.square(two.deviations)))
    apart = (two.means[0] - two.means[1]) / spread
    return two if gain > penalty and apart > APART and min(two.shares) > LEAST_SHARE else one


@dataclasses.dataclass(frozen=True)
class MirroredHeap:
    """Margins of which a share has the wrong sign."""

    mean: float
    deviation: float
    wrong: float

    @property
    def clear(self) -> bool:
        """Whether the right and the mirrored heap lie far enough apart to tell them."""
        return self.mean > CLEAR * self.deviation


def mirrored_heap(margins: Float[np.ndarray, " pair"]) -> MirroredHeap:
    """Fits (1 - e) N(m, s) + e N(-m, s), by EM: a flipped label mirrors its margin.

    Assumes that the margins of rightly labelled pairs are one heap, above or below zero, and that labels are flipped
    regardless of the pair; e is then the share of flipped labels if most are right.
    """
    mean, deviation, wrong = float(np.abs(margins).mean()), _deviation(margins), 0.25
    for _ in range(ROUNDS):
        parts = _weighted(margins, np.array([mean, -mean]), np.full(2, deviation), np.array([1 - wrong, wrong]))
        mirrored = np.exp(parts[:, 1] - np.logaddexp.reduce(parts, axis=-1))
        turned = np.where(mirrored > 0, (1 - 2 * mirrored) * margins, margins)
        before, mean, wrong = (mean, wrong), float(turned.mean()), float(mirrored.mean())
        second = (1 - mirrored) * np.square(margins - mean) + mirrored * np.square(margins + mean)
        deviation = max(float(np.sqrt(second.mean())), 1e-6)
        if abs(before[0] - mean) + abs(before[1] - wrong) < 1e-8:
            break
    return MirroredHeap(mean, deviation, wrong)


def _two(values: Float[np.ndarray, " value"]) -> Heaps:
    low, high = np.quantile(values, (0.1, 0.9))
    means, shares = np.array([high, low]), np.full(2, 0.5)
    deviations = np.full(2, max(_deviation(values) / 2, 1e-6))
    floor = 0.05 * _deviation(values)
    for _ in range(ROUNDS):
        parts = _weighted(values, means, deviations, shares)
        belongs = np.exp(parts - np.logaddexp.reduce(parts, axis=-1, keepdims=True))
        weight = belongs.sum(0) + 1e-9
        before, means = means, (belongs * values[:, None]).sum(0) / weight
        deviations = np.sqrt((belongs * np.square(values[:, None] - means)).sum(0) / weight).clip(floor)
        shares = weight / weight.sum()
        if np.abs(before - means).max() < 1e-8:
            break
    order = np.argsort(-means)
    return Heaps(*(tuple(float(one) for one in found[order]) for found in (means, deviations, shares)))


def _weighted(
    values: Float[np.ndarray, "*any"],
    means: Float[np.ndarray, " heap"],
    deviations: Float[np.ndarray, " heap"],
    shares: Float[np.ndarray, " heap"],
) -> Float[np.ndarray, "*any heap"]:
    """Log of share times density."""
    scaled = (values[..., None] - means) / deviations
    return np.log(shares.clip(1e-12)) - np.log(deviations) - 0.5 * np.square(scaled)


def _log_likelihood(values: Float[np.ndarray, " value"], found: Heaps) -> float:
    parts = _weighted(values, np.array(found.means), np.array(found.deviations), np.array(found.shares))
    return float(np.logaddexp.reduce(parts, axis=-1).sum())


def _deviation(values: Float[np.ndarray, " value"]) -> float:
    return max(float(values.std()), 1e-6)
