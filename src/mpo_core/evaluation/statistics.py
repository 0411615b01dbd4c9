"""Robust summaries with honest intervals, and tests that count how often one looked.

Follows Agarwal et al. 2021 (arXiv 2108.13264): resample units within each task, never pool seeds across tasks.
"""

import dataclasses
import functools
from collections.abc import Callable

import numpy as np
from jaxtyping import Float
from scipy import optimize, stats


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
    return np.asarray(stats.trim_mean(scores, 0.25, axis=axis))


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
    strata, units = scores.shape
    index = _drawn_units(seed, repeats, strata, units)
    resampled = np.take_along_axis(np.broadcast_to(scores, (repeats, strata, units)), index, axis=2)
    drawn = statistic(resampled.reshape(repeats, strata * units))
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(statistic(scores.reshape(-1))), float(low), float(high), scores.size)


@functools.lru_cache(maxsize=2)
def _drawn_units(seed: int, repeats: int, strata: int, units: int) -> np.ndarray:
    """Units drawn with replacement within each stratum: the same for all that are compared."""
    return np.random.default_rng(seed).integers(units, size=(repeats, strata, units))


@functools.lru_cache(maxsize=2)
def _drawn_counts(seed: int, repeats: int, strata: int, units: int) -> np.ndarray:
    """How often each unit is drawn, likewise."""
    shares = np.full(units, 1 / units)
    return np.random.default_rng(seed).multinomial(units, shares, size=(repeats, strata)).astype(float)


def mean_interval(values: Float[np.ndarray, " unit"], *, level: float = 0.95) -> Interval:
    """Mean with Student's t interval; of paired differences, the paired t interval."""
    values = np.asarray(values, float)
    count = len(values)
    mean = float(values.mean())
    if count < 2:
        return Interval(mean, float("nan"), float("nan"), count)
    half = float(stats.t.ppf((1 + level) / 2, count - 1) * values.std(ddof=1) / np.sqrt(count))
    return Interval(mean, mean - half, mean + half, count)


def share_interval(values: Float[np.ndarray, " unit"], *, level: float = 0.95) -> Interval:
    """Mean of values in [0, 1], such as wins with ties counted half, with Wilson's interval, which stays in [0, 1].

    Wilson 1927, J. Am. Stat. Assoc. 22: exact in the variance of wins and losses; with ties it is a little wide.
    """
    values = np.asarray(values, float)
    share = float(values.mean())
    return Interval(share, *wilson_ends(share, len(values), level=level), len(values))


def wilson_ends(share: float, count: int, *, level: float = 0.95) -> tuple[float, float]:
    """Both ends of Wilson's interval of a share of so many."""
    z = float(stats.norm.ppf((1 + level) / 2))
    spread = 1 + z**2 / count
    middle = (share + z**2 / (2 * count)) / spread
    half = z / spread * np.sqrt(share * (1 - share) / count + z**2 / (4 * count**2))
    return max(0.0, float(middle - half)), min(1.0, float(middle + half))


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
    strata, units = ours.shape
    above = ours[:, :, None] - theirs[:, None, :]
    wins = (above > 0) + 0.5 * (above == 0)
    count = _drawn_counts(seed, repeats, strata, units)
    drawn = np.einsum("rsu,suv,rsv->r", count, wins, count, optimize=True) / (strata * units**2)
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(wins.mean()), float(low), float(high), ours.size)


def iqm_difference(
    ours: Float[np.ndarray, " unit"],
    theirs: Float[np.ndarray, " unit"],
    *,
    seed: int = 0,
    repeats: int = 10_000,
    level: float = 0.95,
) -> Interval:
    """Inter-quartile mean of ours minus that of theirs over shared units: percentile bootstrap, one draw for both.

    Not the inter-quartile mean of the differences: it is the difference of two numbers that a table shows.
    """
    generator = np.random.default_rng(seed)
    sides = np.stack([np.asarray(ours, float), np.asarray(theirs, float)])
    index = generator.integers(sides.shape[1], size=(repeats, sides.shape[1]))
    drawn = interquartile_mean(sides[0][index]) - interquartile_mean(sides[1][index])
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    own, other = interquartile_mean(sides)
    return Interval(float(own - other), float(low), float(high), sides.shape[1])


def paired_p_value(differences: Float[np.ndarray, " unit"]) -> float:
    """Two-sided p of Student's paired t test, that the mean difference is 0.

    Differences that are all alike have no deviation: p is 1 where they are 0, else 0; a single one says nothing: 1.
    """
    values = np.asarray(differences, float)
    if len(values) < 2:
        return 1.0
    deviation = values.std(ddof=1)
    if deviation == 0:
        return float(values[0] == 0)
    t = values.mean() / (deviation / np.sqrt(len(values)))
    return float(2 * stats.t.sf(abs(t), len(values) - 1))


def holm(p_values: Float[np.ndarray, " comparison"]) -> Float[np.ndarray, " comparison"]:
    """p-values adjusted for their number, in the order given (Holm 1979, a step-down of Bonferroni's).

    Comparing them with 0.05 bounds the chance of any false finding by 5 %, however the comparisons hang together.
    """
    p_values = np.asarray(p_values, float)
    order = np.argsort(p_values, kind="stable")
    factors = len(p_values) - np.arange(len(p_values))
    stepped = np.minimum(np.maximum.accumulate(p_values[order] * factors), 1.0)
    adjusted = np.empty_like(p_values)
    adjusted[order] = stepped
    return adjusted


def detectable_difference(
    differences: Float[np.ndarray, " unit"], *, power: float = 0.8, significance: float = 0.05
) -> float:
    """The least mean difference that so many units, spread like these, would have shown with this power.

    Two-sided paired t test; power from the non-central t distribution. NaN for a single unit, 0 without spread.
    """
    values = np.asarray(differences, float)
    count = len(values)
    if count < 2:
        return float("nan")
    return float(values.std(ddof=1)) * _least_effect(float(np.sqrt(count)), float(count - 1), power, significance)


@functools.lru_cache(maxsize=1024)
def _least_effect(scale: float, freedom: float, power: float, significance: float) -> float:
    """The least effect, in units of 1 / scale standard errors, that a two-sided t test shows with this power."""
    critical = stats.t.ppf(1 - significance / 2, freedom)

    def missing_power(effect: float) -> float:
        shift = effect * scale
        above = stats.nct.sf(critical, freedom, shift)
        below = stats.nct.cdf(-critical, freedom, shift)
        # far out the non-central t of scipy is no number, where the power is 1
        return float(np.nan_to_num(above, nan=1.0) + np.nan_to_num(below, nan=0.0)) - power

    most = 20 * (critical + 1) / scale
    return float(optimize.root_scalar(missing_power, bracket=(0.0, most), method="brentq").root)


@dataclasses.dataclass(frozen=True)
class MeanTest:
    """A mean with its t interval, and the two-sided p that it is 0."""

    interval: Interval
    p_value: float


def crossed_test(values: Float[np.ndarray, "search unit"], *, level: float = 0.95) -> MeanTest:
    """Mean of values that searches share units of, with searches and units as crossed random effects.

    The variance of the mean is (MS_search + MS_unit - MS_rest) / (searches * units), its degrees of freedom are
    Satterthwaite's (1946); it is never taken to be less than that of searches or of units alone. With one search only
    the units vary: Student's paired t. Where nothing is ahead, a bootstrap of three searches would say so up to one
    time in five, this some one time in twenty; of two searches that differ much up to one in nine.
    """
    values = np.asarray(values, float)
    if len(values) == 1:
        return MeanTest(mean_interval(values[0], level=level), paired_p_value(values[0]))
    mean = float(values.mean())
    square, freedom = _variance_of_mean(values)
    error = float(np.sqrt(square / values.size))
    half = float(stats.t.ppf((1 + level) / 2, freedom)) * error
    p_value = float(2 * stats.t.sf(abs(mean) / error, freedom)) if error else float(mean == 0)
    return MeanTest(Interval(mean, mean - half, mean + half, values.size), p_value)


def crossed_detectable(values: Float[np.ndarray, "search unit"]) -> float:
    """The least mean difference that `crossed_test` of so many searches and units would have shown, with power 0.8."""
    values = np.asarray(values, float)
    if len(values) == 1:
        return detectable_difference(values[0])
    square, freedom = _variance_of_mean(values)
    return float(np.sqrt(square / values.size)) * _least_effect(1.0, freedom, power=0.8, significance=0.05)


def _variance_of_mean(values: Float[np.ndarray, "search unit"]) -> tuple[float, float]:
    """The variance of the mean of all, times their number, and its degrees of freedom."""
    searches, units = values.shape
    by_search, by_unit = values.mean(1), values.mean(0)
    rest = values - by_search[:, None] - by_unit + values.mean()
    squares = np.array([units * by_search.var(ddof=1), searches * by_unit.var(ddof=1), 0.0])
    freedoms = np.array([searches - 1, units - 1, (searches - 1) * (units - 1)])
    squares[2] = (rest**2).sum() / freedoms[2]
    total, largest = float(squares[0] + squares[1] - squares[2]), int(squares[:2].argmax())
    if total <= squares[largest]:
        return float(squares[largest]), float(freedoms[largest])
    return total, max(total**2 / float((squares**2 / freedoms).sum()), float(freedoms.min()))


def exact_share(count: int, total: int, *, level: float = 0.95) -> Interval:
    """A share with the exact interval of Clopper and Pearson (1934).

    Raises:
        ValueError: there is nothing to take a share of, or more than all.
    """
    if not 0 <= count <= total or total < 1:
        raise ValueError(f"a share needs 0 <= count <= total and total >= 1, not {count} of {total}")
    tail = (1 - level) / 2
    low = 0.0 if count == 0 else float(stats.beta.ppf(tail, count, total - count + 1))
    high = 1.0 if count == total else float(stats.beta.ppf(1 - tail, count + 1, total - count))
    return Interval(count / total, low, high, total)
