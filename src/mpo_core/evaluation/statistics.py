"""Robust summaries with honest intervals: inter-quartile mean and bootstraps over replication units.

Follows Agarwal et al. 2021 (arXiv 2108.13264): resample units within each task, never pool seeds across tasks.
"""

import dataclasses
from collections.abc import Callable

import numpy as np
from jaxtyping import Float
from scipy import stats


@dataclasses.dataclass(frozen=True)
class Interval:
    """An estimate with a confidence interval, and the number of units behind it."""

    estimate: float
    low: float
    high: float
    units: int

    def __str__(self) -> str:
        return f"{self.estimate:.3f} [{self.low:.3f}, {self.high:.3f}]"


def interquartile_mean(scores: Float[np.ndarray, "*any"], axis: int = -1) -> np.ndarray:
    """Mean of the middle half: a quarter of the entries (rounded down) is cut at either end of the axis."""
    ordered = np.sort(scores, axis=axis)
    count = ordered.shape[axis]
    cut = count // 4
    return np.asarray(np.take(ordered, np.arange(cut, count - cut), axis=axis).mean(axis=axis))


def stratified_bootstrap(
    scores: Float[np.ndarray, "stratum unit"],
    statistic: Callable[[np.ndarray], np.ndarray] = interquartile_mean,
    *,
    seed: int = 0,
    repeats: int = 10_000,
    level: float = 0.95,
) -> Interval:
    """Percentile bootstrap of a statistic of all scores, units resampled within each stratum (task).

    Args:
        scores: a score a task and unit.
        statistic: maps an array (..., entries) to (...), over its last axis.
        level: coverage of the interval.
    """
    generator = np.random.default_rng(seed)
    strata, units = scores.shape
    index = generator.integers(units, size=(repeats, strata, units))
    resampled = np.take_along_axis(np.broadcast_to(scores, (repeats, strata, units)), index, axis=2)
    drawn = statistic(resampled.reshape(repeats, strata * units))
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(statistic(scores.reshape(-1))), float(low), float(high), scores.size)


def mean_interval(values: Float[np.ndarray, " unit"], *, level: float = 0.95) -> Interval:
    """Mean with Student's t interval; of paired differences, the paired t interval."""
    values = np.asarray(values, float)
    count = len(values)
    mean = float(values.mean())
    if count < 2:
        return Interval(mean, float("nan"), float("nan"), count)
    half = float(stats.t.ppf((1 + level) / 2, count - 1) * values.std(ddof=1) / np.sqrt(count))
    return Interval(mean, mean - half, mean + half, count)


def paired_difference(
    ours: Float[np.ndarray, " unit"], theirs: Float[np.ndarray, " unit"], *, level: float = 0.95
) -> Interval:
    """Mean of ours minus theirs over units that both share, with the paired t interval."""
    return mean_interval(np.asarray(ours, float) - np.asarray(theirs, float), level=level)


def probability_of_improvement(ours: Float[np.ndarray, " unit"], theirs: Float[np.ndarray, " other"]) -> float:
    """P(a random unit of ours scores above a random unit of theirs), ties counted half."""
    difference = np.asarray(ours)[:, None] - np.asarray(theirs)[None, :]
    return float(((difference > 0) + 0.5 * (difference == 0)).mean())


def improvement_interval(
    ours: Float[np.ndarray, "stratum unit"],
    theirs: Float[np.ndarray, "stratum unit"],
    *,
    seed: int = 0,
    repeats: int = 10_000,
    level: float = 0.95,
) -> Interval:
    """Probability of improvement, averaged over strata, with its stratified percentile bootstrap.

    Both sides share units, so one draw of units serves both.
    """
    generator = np.random.default_rng(seed)
    strata, units = ours.shape
    above = ours[:, :, None] - theirs[:, None, :]
    wins = (above > 0) + 0.5 * (above == 0)
    count = generator.multinomial(units, np.full(units, 1 / units), size=(repeats, strata)).astype(float)
    drawn = np.einsum("rsu,suv,rsv->r", count, wins, count, optimize=True) / (strata * units**2)
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(wins.mean()), float(low), float(high), ours.size)
