"""How many labels are flipped, as far as the texts tell: from contradictions, and from what a linear model expects."""

import dataclasses

import numpy as np
from jaxtyping import Float, Int
from scipy.optimize import minimize, minimize_scalar
from scipy.special import expit, log_expit

from mpo_core.evaluation.statistics import wilson_ends
from mpo_experiments.diagnose.pairs import Pairs, words
from mpo_experiments.diagnose.text_faults import Duplicates, hash_of

FEATURES, FOLDS, RIDGE = 1024, 5, 1.0
MOST_ROWS, LEAST_ROWS = 20_000, 100
SHARES = np.linspace(0, 0.49, 99)
"""Of flipped labels, that are tried."""
MOST_STEEP = 50.0
UNDECIDED = 0.4
"""Where the interval of a share reaches this far, it says no more than an upper bound does."""
INTERVAL = 3.84 / 2
"""Of log-likelihood under the best, the 95 % interval."""
LEAST_COUPLES = 20
REPORTED = 0.02
"""What the lower end of an interval must lie above for label noise to be reported."""


@dataclasses.dataclass(frozen=True)
class NoiseEstimate:
    """A share of flipped labels with its 95 % interval."""

    by: str
    share: float
    low: float
    high: float
    assumes: str
    bound: bool = False
    """Whether it is no more than an upper bound."""

    @property
    def found(self) -> bool:
        """Whether it says that labels are flipped."""
        return not self.bound and self.low > REPORTED

    def __str__(self) -> str:
        most = "at most " if self.bound else ""
        return f"{most}{self.share:.3f} [{self.low:.3f}, {self.high:.3f}]"


def noise_from_duplicates(found: Duplicates) -> NoiseEstimate | None:
    """From couples of near-duplicates: two independent labels disagree with probability 2 e (1 - e). None: too few."""
    if found.compared < LEAST_COUPLES:
        return None

    def flipped(share: float) -> float:
        return float((1 - np.sqrt(max(0.0, 1 - 2 * share))) / 2)

    low, high = wilson_ends(found.contradictions / found.compared, found.compared)
    return NoiseEstimate(
        "contradicting near-duplicates", flipped(found.contradictions / found.compared), flipped(low), flipped(high),
        "the two labels of a couple were given independently, and couples are like other rows",
    )  # fmt: skip


def noise_from_words(pairs: Pairs) -> NoiseEstimate | None:
    """From a logistic regression on which words the two responses have, held out by prompt.

    Of two explanations of its disagreement with the labels, that it is unsure and that labels are flipped, the second
    shows where it is sure: with flips the chance of agreement levels off at 1 - e. The share e is fitted by maximum
    likelihood beside the steepness of the logistic function, its interval is the profile's. None: too few rows.
    """
    if len(pairs) < LEAST_ROWS:
        return None
    kept = np.random.default_rng(0).permutation(len(pairs))[:MOST_ROWS]
    profile = _profile(_held_out(_differences(pairs, kept), _folds(pairs, kept)))
    inside = SHARES[profile > profile.max() - INTERVAL]
    low, high = float(inside.min()), float(inside.max())
    return NoiseEstimate(
        "words", high if high > UNDECIDED else float(SHARES[profile.argmax()]), low, high,
        "labels are flipped regardless of the pair, and without flips a logistic function of the words is right",
        bound=high > UNDECIDED,
    )  # fmt: skip


def _profile(scores: Float[np.ndarray, " pair"]) -> Float[np.ndarray, " share"]:
    """Log-likelihood of each of `SHARES` at its best steepness; a score above 0 agrees with the label."""
    scores = scores / max(float(np.abs(scores).mean()), 1e-12)

    def cost(log_steepness: float, share: float) -> float:
        agree = expit(np.exp(log_steepness) * scores)
        return -float(np.log((1 - share) * agree + share * (1 - agree) + 1e-12).sum())

    def best(share: float) -> float:
        return -minimize_scalar(cost, bounds=(-5.0, np.log(MOST_STEEP)), args=(share,), method="bounded").fun

    return np.array([best(float(share)) for share in SHARES])


def _differences(pairs: Pairs, kept: Int[np.ndarray, " row"]) -> Float[np.ndarray, "row feature"]:
    """Words that the chosen response has, less those of the rejected one, hashed; and the difference of log-lengths."""
    found = np.zeros((len(kept), FEATURES + 1), np.float32)
    for row, place in enumerate(kept):
        for text, sign in ((pairs.chosen[place], 1.0), (pairs.rejected[place], -1.0)):
            listed = words(text)
            for word in set(listed):
                found[row, hash_of((word, "")) % FEATURES] += sign
            found[row, FEATURES] += sign * np.log1p(len(listed))
    return found


def _folds(pairs: Pairs, kept: Int[np.ndarray, " row"]) -> Int[np.ndarray, " row"]:
    """Rows of one prompt are in one fold, so that nothing is held out that was seen."""
    numbers = {prompt: number for number, prompt in enumerate(dict.fromkeys(pairs.prompt[place] for place in kept))}
    spread = np.random.default_rng(1).permutation(len(numbers)) if len(numbers) >= FOLDS else None
    if spread is None:  # one prompt for all
        return np.arange(len(kept)) % FOLDS
    return np.array([spread[numbers[pairs.prompt[place]]] % FOLDS for place in kept])


def _held_out(
    differences: Float[np.ndarray, "row feature"], folds: Int[np.ndarray, " row"]
) -> Float[np.ndarray, " row"]:
    """The score of each pair under the model of the other folds; above 0 it agrees with the label."""
    scores = np.zeros(len(differences))
    for fold in range(FOLDS):
        there = folds == fold
        scores[there] = differences[there] @ _fitted(differences[~there])
    return scores


def _fitted(differences: Float[np.ndarray, "row feature"]) -> Float[np.ndarray, " feature"]:
    """Weights of a Bradley-Terry model, ridge-penalised."""

    def loss(weights: Float[np.ndarray, " feature"]) -> tuple[float, Float[np.ndarray, " feature"]]:
        margin = differences @ weights
        value = -log_expit(margin).sum() + RIDGE / 2 * weights @ weights
        return float(value), -(expit(-margin) @ differences) + RIDGE * weights

    return minimize(loss, np.zeros(differences.shape[1]), jac=True, method="L-BFGS-B", options={"maxiter": 200}).x
