"""A closed form of a learned member of the mirror family, fitted where the member is used.

Constants in phi_inv, psi and g change no gradient, and only the gradient trains a policy, so the fit is of slopes. With
B the bracket, the gradient of the loss of a row has the two parts

    dL/dl_w = -(psi'(B) phi_inv'(w) + g'(w)),    dL/dl_l = psi'(B) phi_inv'(l).

The three maps are fitted one after another, each against this gradient: phi_inv with psi' as it is; psi on the brackets
that the distilled phi_inv makes; g on what is then left. Samples are weighted so that every part of training counts by
its own gradient's size, as an optimiser that rescales gradients sees it (our reconstruction).
"""

import dataclasses
from collections.abc import Callable
from typing import Literal, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from mpo_core.mirror.closed_form import SumOfTerms
from mpo_core.mirror.learned import LearnedMap
from mpo_core.mirror.maps import AbstractMap
from mpo_core.mirror.mirror_objective import MirrorObjective
from mpo_core.mirror.monotone_network import Domain
from mpo_core.mirror.realised import Realised
from mpo_core.mirror.sparse_fit import sparse_fit
from mpo_core.mirror.term_library import Candidate, candidates, derivatives
from mpo_core.objective.pair_log_probs import PairLogProbs

PARTS_OF_TRAINING = 10
LEAST_PART = 0.1
"""Parts of training whose gradient is under this share of the largest part's count no more than at that share."""
Module = TypeVar("Module", bound=eqx.Module)
MapName = Literal["phi_inv", "psi", "g"]
MAP_NAMES: tuple[MapName, ...] = ("phi_inv", "psi", "g")


@dataclasses.dataclass(frozen=True)
class DistillSettings:
    """How close and how short a closed form is to be."""

    terms: int = 6
    """Terms of each map, at most."""
    tolerance: float = 0.02
    """Error of each map, as a share of the whole gradient field, below which no more terms are added."""
    digits: int = 4
    """Significant digits of every weight."""


@dataclasses.dataclass(frozen=True)
class MapError:
    """How far a distilled map is from the original, constants of each moment of training left out."""

    relative_rms: float
    """Root mean square of the difference, as a share of that of the original; weighted as the gradient uses the map."""
    sup: float
    """Largest difference on any sample, as a share of the range of the original's values."""


@dataclasses.dataclass(frozen=True)
class DistillErrors:
    """Errors of a closed form on samples."""

    maps: dict[MapName, MapError]
    gradient: float
    """Relative root mean square error of the gradient field, every part of training weighted alike."""
    gradient_by_part: tuple[float, ...]
    """The same within each part of training, of those that have samples, in order."""
    alignment: float
    """Mean cosine between the two fields, weighted by the original's size."""


def is_learned(objective: object) -> bool:
    """Whether an objective is a learned member: one of its maps at least."""
    return isinstance(objective, MirrorObjective) and any(
        isinstance(getattr(objective, name), LearnedMap) for name in MAP_NAMES
    )


def distil(
    objective: MirrorObjective, samples: Realised, settings: DistillSettings, *, temporal: bool
) -> MirrorObjective:
    """The member whose maps are sums of terms and whose gradient is close to that of `objective` on the samples.

    Args:
        samples: where it is to be close.
        temporal: whether terms may change over training.
    """
    truth = Slopes(objective, samples)
    weight = truth.weights()
    allowed = settings.tolerance * float(np.sqrt(truth.energy(weight).sum()))
    choose = _Chooser(settings, allowed, temporal)
    lift = np.tile(truth.psi * weight, 2) * truth.scales
    inputs, times = truth.sides, np.tile(truth.progress, 2)
    phi_inv = choose(objective.phi_inv, Domain.LOG_PROB, inputs, times, lift, lift * truth.phi_inv)
    closed = eqx.tree_at(lambda m: (m.phi_inv, m.psi, m.g), objective, (phi_inv, objective.psi, objective.g))
    found = Slopes(closed, samples)
    lift = found.phi_inv * np.tile(weight, 2) * found.scales
    target = np.tile(truth.psi * weight, 2) * truth.phi_inv * truth.scales
    psi = choose(objective.psi, Domain.BRACKET, np.tile(found.bracket, 2), times, lift, target)
    closed = eqx.tree_at(lambda m: m.psi, closed, psi)
    found, lift = Slopes(closed, samples), truth.imitation_scale * weight
    left = (truth.chosen - found.chosen + found.g * truth.imitation_scale) * weight if truth.g.any() else 0 * weight
    g = choose(objective.g, Domain.LOG_PROB, truth.imitated, truth.progress, lift, left)
    return eqx.tree_at(lambda m: m.g, closed, g)


def distill_errors(objective: MirrorObjective, closed: MirrorObjective, samples: Realised) -> DistillErrors:
    """How far a closed form is from what it was distilled from, on samples."""
    truth, found = Slopes(objective, samples), Slopes(closed, samples)
    weight, part = truth.weights(), truth.part
    energy = truth.energy(weight)
    lost = weight**2 * ((truth.chosen - found.chosen) ** 2 + (truth.rejected - found.rejected) ** 2)
    shares = [_share(lost[part == one], energy[part == one]) for one in np.unique(part)]
    aligned = weight**2 * (truth.chosen * found.chosen + truth.rejected * found.rejected)
    size = np.sqrt(energy * found.energy(weight))
    uses = {
        "phi_inv": np.tile(truth.psi * weight, 2) * truth.scales,
        "psi": weight * np.hypot(*np.split(truth.phi_inv * truth.scales, 2)),
        "g": weight * truth.imitation_scale,
    }
    maps: dict[MapName, MapError] = {
        name: _map_error(getattr(objective, name), getattr(closed, name), *truth.inputs(name), uses[name])
        for name in MAP_NAMES
    }
    cosine = float((aligned / np.where(size > 0, size, 1) * energy).sum() / max(energy.sum(), 1e-300))
    return DistillErrors(maps, _share(lost, energy), tuple(shares), cosine)


class Slopes:
    """Slopes of the three maps of a member where samples put them, in double precision."""

    def __init__(self, objective: MirrorObjective, samples: Realised):
        pair, self.progress = samples.pair, np.asarray(samples.progress, float)
        lengths = [np.asarray(pair.chosen_length, float), np.asarray(pair.rejected_length, float)]
        chosen, rejected = np.asarray(pair.chosen, float), np.asarray(pair.rejected, float)
        self.scales = 1 / np.concatenate(lengths) if objective.bracket == "mean" else np.ones(2 * len(chosen))
        self.sides = np.concatenate([chosen, rejected]) * self.scales
        self.imitation_scale = 1 / lengths[0] if objective.imitation == "mean" else np.ones(len(chosen))
        self.imitated = chosen * self.imitation_scale
        with jax.enable_x64(True):
            double = _in_double(objective)
            wide = jax.tree.map(lambda leaf: jnp.asarray(leaf, float), pair)
            self.bracket = np.asarray(_brackets(double, wide, jnp.asarray(self.progress)))
        self.phi_inv = slopes_of(objective.phi_inv, self.sides, np.tile(self.progress, 2))
        self.psi = slopes_of(objective.psi, self.bracket, self.progress)
        self.g = slopes_of(objective.g, self.imitated, self.progress)

    @property
    def chosen(self) -> Float[np.ndarray, " row"]:
        """-dL / d log p_w."""
        return self.psi * np.split(self.phi_inv * self.scales, 2)[0] + self.g * self.imitation_scale

    @property
    def rejected(self) -> Float[np.ndarray, " row"]:
        """dL / d log p_l."""
        return self.psi * np.split(self.phi_inv * self.scales, 2)[1]

    @property
    def part(self) -> np.ndarray:
        """The part of training of each sample."""
        return np.minimum((self.progress * PARTS_OF_TRAINING).astype(int), PARTS_OF_TRAINING - 1)

    def energy(self, weight: Float[np.ndarray, " row"]) -> Float[np.ndarray, " row"]:
        """The weighted gradient's square."""
        return weight**2 * (self.chosen**2 + self.rejected**2)

    def weights(self) -> Float[np.ndarray, " row"]:
        """One over the root mean square gradient in a sample's part of training, bounded."""
        energy, part = self.energy(np.ones(len(self.progress))), self.part
        size = {one: np.sqrt(energy[part == one].mean()) for one in np.unique(part)}
        least = max(LEAST_PART * max(size.values()), 1e-300)
        return np.array([1 / max(size[one], least) for one in part])

    def inputs(self, name: MapName) -> tuple[np.ndarray, np.ndarray]:
        """What a map is given, and when."""
        at = {"phi_inv": self.sides, "psi": self.bracket, "g": self.imitated}[name]
        return at, np.resize(self.progress, len(at))


def slopes_of(
    map_: AbstractMap, x: Float[np.ndarray, " sample"], progress: Float[np.ndarray, " sample"]
) -> Float[np.ndarray, " sample"]:
    """The derivative of a map at samples, in double precision."""
    return _evaluated(_slope, map_, x, progress)


def values_of(
    map_: AbstractMap, x: Float[np.ndarray, " sample"], progress: Float[np.ndarray, " sample"]
) -> Float[np.ndarray, " sample"]:
    """A map at samples, in double precision."""
    return _evaluated(_value, map_, x, progress)


def _evaluated(of: Callable, map_: AbstractMap, x: np.ndarray, progress: np.ndarray) -> np.ndarray:
    with jax.enable_x64(True):
        return np.asarray(of(_in_double(map_), jnp.asarray(x, float), jnp.asarray(progress, float)))


def _in_double(module: Module) -> Module:
    return jax.tree.map(lambda leaf: leaf.astype(float) if eqx.is_inexact_array(leaf) else leaf, module)


@eqx.filter_jit
def _value(map_: AbstractMap, x: jax.Array, progress: jax.Array) -> jax.Array:
    return jax.vmap(map_)(x, progress)


@eqx.filter_jit
def _slope(map_: AbstractMap, x: jax.Array, progress: jax.Array) -> jax.Array:
    return jax.vmap(jax.grad(map_))(x, progress)


@eqx.filter_jit
def _brackets(objective: MirrorObjective, pair: PairLogProbs, progress: jax.Array) -> jax.Array:
    return jax.vmap(lambda row, t: objective.preference(_one(row), t)[0])(pair, progress)


class _Chooser:
    """Picks the terms of a map."""

    def __init__(self, settings: DistillSettings, allowed: float, temporal: bool):
        self._settings, self._allowed, self._temporal = settings, allowed, temporal

    def __call__(
        self, map_: AbstractMap, domain: Domain, x: np.ndarray, t: np.ndarray, lift: np.ndarray, target: np.ndarray
    ) -> SumOfTerms:
        """The terms whose slopes, times `lift`, make up the target."""
        library = candidates(map_, domain, x, temporal=self._temporal)
        columns = derivatives(library, x, t) * lift[:, None]
        fit = sparse_fit(columns, target, most=self._settings.terms, tolerance=self._allowed)
        chosen = [(library[column], weight) for column, weight in zip(fit.columns, fit.weights, strict=True)]
        return SumOfTerms(tuple(one.term(self._number(weight)) for one, weight in sorted(chosen, key=_plainness)))

    def _number(self, weight: float) -> float:
        return float(f"{weight:.{self._settings.digits}g}")


def _plainness(chosen: tuple[Candidate, float]) -> tuple:
    one = chosen[0]
    return one.feature != "identity", one.feature, one.slope, one.offset, one.time


def _map_error(original: AbstractMap, closed: AbstractMap, x: np.ndarray, t: np.ndarray, use: np.ndarray) -> MapError:
    truth, found = values_of(original, x, t), values_of(closed, x, t)
    moment, use = np.unique(t, return_inverse=True)[1], np.maximum(use, 1e-12 * max(use.max(), 1e-300)) ** 2
    difference, truth = (_centred(values, moment, use) for values in (found - truth, truth))
    return MapError(
        _share(use * difference**2, use * truth**2), float(np.abs(difference).max() / max(np.ptp(truth), 1e-300))
    )


def _centred(values: np.ndarray, moment: np.ndarray, use: np.ndarray) -> np.ndarray:
    """Less the mean at each moment, which is a constant of the map there."""
    mean = np.bincount(moment, use * values) / np.bincount(moment, use)
    return values - mean[moment]


def _share(lost: np.ndarray, whole: np.ndarray) -> float:
    """Root of the share of squares; 0 where there is nothing to lose."""
    total, missing = float(whole.sum()), float(lost.sum())
    return float(np.sqrt(missing / total)) if total > 0 else float(np.sqrt(missing))


def _one(row):
    return jax.tree.map(lambda leaf: leaf[None], row)
