"""Sparse non-negative least squares: the few columns of a library that explain a target almost as well as all do.

Two paths are followed and for each size the better of them is kept: forward, adding the column after which a
non-negative refit is best; and backward, from the non-negative fit on the whole library (Lawson and Hanson), dropping
the column whose loss costs least. After each step forward, columns are exchanged as long as that helps.
"""

import dataclasses

import numpy as np
from jaxtyping import Float

SCREENED = 8
"""Columns tried in full at a step."""
ALIKE_APART = 1e-8
"""Columns whose sine, squared, is below this count as one."""
EXCHANGES = 3
"""Columns exchanged after a step, at most."""
CLOSE = 1.1
"""Where no fit is within tolerance, fewer columns are taken as long as the error is within this factor of the best."""


@dataclasses.dataclass(frozen=True)
class SparseFit:
    """Columns and their weights, all positive, and the norm of what they leave."""

    columns: tuple[int, ...]
    weights: tuple[float, ...]
    error: float


def sparse_fit(
    library: Float[np.ndarray, "sample column"], target: Float[np.ndarray, " sample"], *, most: int, tolerance: float
) -> SparseFit:
    """The smallest fit whose error is at most `tolerance`; if there is none, the smallest almost as good as the best.

    Args:
        most: columns at most.
        tolerance: error, in the units of the target's norm, that is good enough.
    """
    path = fits_by_size(library, target, most=most, enough=tolerance)
    allowed = tolerance if path[-1].error <= tolerance else CLOSE * path[-1].error
    return next(fit for fit in path if fit.error <= allowed)


def fits_by_size(
    library: Float[np.ndarray, "sample column"], target: Float[np.ndarray, " sample"], *, most: int, enough: float = 0.0
) -> list[SparseFit]:
    """The best fit found of each size, from none to `most` columns; errors never rise with size.

    Args:
        enough: error at which larger fits are no longer looked for.
    """
    problem = _Problem(library, target)
    enough = max(enough, 1e-9 * problem.fit(()).error)
    forward = problem.forward(most, enough)
    done = min((fit.error for fit in forward.values()), default=np.inf) <= enough
    backward = {} if done else problem.backward(most)
    best = [problem.fit(())]
    for size in range(1, most + 1):
        found = [path[size] for path in (forward, backward) if size in path]
        best.append(min([*found, best[-1]], key=lambda fit: fit.error))
    return best


class _Problem:
    """Columns of norm 1, rotated into as many rows as there are columns."""

    def __init__(self, library: np.ndarray, target: np.ndarray):
        norms = np.linalg.norm(library, axis=0)
        there = np.flatnonzero(np.isfinite(norms) & (norms > 1e-12 * max(norms.max(initial=0.0), 1e-300)))
        self._used = there[_distinct(library[:, there] / norms[there])]
        self._norms = norms[self._used]
        rotation, self._columns = np.linalg.qr(library[:, self._used] / self._norms)
        self._target = rotation.T @ target
        self._outside = max(float(target @ target - self._target @ self._target), 0.0)

    def fit(self, chosen: tuple[int, ...]) -> SparseFit:
        """The non-negative refit on some columns, numbered as in the library; those that get no weight are left out."""
        return self._fit(tuple(int(np.searchsorted(self._used, column)) for column in chosen))

    def _fit(self, places: tuple[int, ...]) -> SparseFit:
        if not places:
            return SparseFit((), (), float(np.sqrt(self._target @ self._target + self._outside)))
        weights, left = _refit(self._columns[:, list(places)], self._target)
        kept = [(place, weight) for place, weight in zip(places, weights, strict=True) if weight > 0]
        return SparseFit(
            tuple(int(self._used[place]) for place, _ in kept),
            tuple(float(weight / self._norms[place]) for place, weight in kept),
            float(np.sqrt(left**2 + self._outside)),
        )

    def forward(self, most: int, enough: float) -> dict[int, SparseFit]:
        places: tuple[int, ...] = ()
        path = {}
        for _ in range(min(most, len(self._used))):
            places = self._exchanged(self._grown(places), enough)
            fit = self._fit(places)
            path.setdefault(len(fit.columns), fit)
            if fit.error <= enough or len(fit.columns) < len(places):  # or nothing is left that helps
                break
        return path

    def _grown(self, places: tuple[int, ...]) -> tuple[int, ...]:
        """With the column added after which the refit is best, of those that plain least squares ranks first."""
        basis = np.linalg.qr(self._columns[:, list(places)])[0] if places else np.zeros((len(self._target), 0))
        left = self._target - basis @ (basis.T @ self._target)
        apart = 1 - np.square(basis.T @ self._columns).sum(0)  # squared length of what a column adds to the others
        gain = (self._columns.T @ left) / np.sqrt(np.maximum(apart, ALIKE_APART))
        gain[list(places)] = -np.inf
        tried = np.argsort(-gain, kind="stable")[:SCREENED]
        return min(((*places, int(place)) for place in tried), key=lambda grown: self._fit(grown).error)

    def _exchanged(self, places: tuple[int, ...], enough: float) -> tuple[int, ...]:
        """With columns replaced by others as long as that lowers the error."""
        error = self._fit(places).error
        for _ in range(EXCHANGES if len(places) > 1 else 0):
            if error <= enough:
                break
            others = [self._grown(tuple(one for one in places if one != out)) for out in places]
            best = min(others, key=lambda one: self._fit(one).error)
            lower = self._fit(best).error
            if lower >= error * (1 - 1e-6):
                break
            places, error = best, lower
        return places

    def backward(self, most: int) -> dict[int, SparseFit]:
        try:
            weights, _ = _non_negative(self._columns, self._target)
        except RuntimeError:  # it does not settle where columns are all but the same
            return {}
        places = tuple(int(place) for place in np.flatnonzero(weights))
        path = {}
        while places:
            if len(places) <= most:
                fit = self._fit(places)
                path.setdefault(len(fit.columns), fit)
            fewer = [tuple(one for one in places if one != out) for out in places]
            places = min(fewer, key=lambda one: self._fit(one).error)
        return path


def _non_negative(columns: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, float]:
    """Non-negative least squares: weights and the norm of what they leave."""
    from scipy.optimize import nnls  # a third of a second, which all that read objective files would pay

    return nnls(columns, target)


def _refit(columns: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, float]:
    """Non-negative weights and the norm of what they leave."""
    try:
        return _non_negative(columns, target)
    except RuntimeError:  # its active set goes in circles where columns are all but dependent: not a choice to make
        return np.zeros(columns.shape[1]), float(np.linalg.norm(target))


def _distinct(columns: np.ndarray) -> np.ndarray:
    """The places of columns, of norm 1, that are not all but the same as one before."""
    alike = np.triu(columns.T @ columns > np.sqrt(1 - ALIKE_APART), k=1)
    kept = np.ones(columns.shape[1], bool)
    for place in range(len(kept)):
        if kept[place]:
            kept &= ~alike[place]
    return np.flatnonzero(kept)
