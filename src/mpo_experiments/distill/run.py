"""Distilling a learned objective: samples of where it is used, the fit, and its errors on samples of another unit."""

import dataclasses
from typing import Any

import jax

from adapters.storage.objective_files import is_closed, read_objective
from mpo_core.mirror.distillation import DistillErrors, DistillSettings, distil, distill_errors
from mpo_core.mirror.mirror_objective import MirrorObjective
from mpo_core.mirror.realised import Realised, thinned, with_coverage
from mpo_experiments.distill.samples import UNITS_OF_THE_FIT, range_samples, training_samples
from mpo_experiments.objectives.named import NamedObjective
from mpo_experiments.progress import Reporter
from mpo_experiments.settings.run_config import CellConfig
from mpo_experiments.testbed import Testbed

FIT_SAMPLES, HELD_SAMPLES = 1000, 2000


@dataclasses.dataclass(frozen=True)
class Learned:
    """A learned objective and where it is sampled."""

    source: str
    """As the user named it."""
    card: dict[str, Any]
    objective: MirrorObjective
    config: CellConfig | None
    """Task, data and inner loop; None where nothing is simulated."""
    sft_epochs: int
    low: float | None
    """Least mean token log-prob of samples without a simulator; None: sampled on the task."""
    seed: int


@dataclasses.dataclass(frozen=True)
class Distilled:
    """A closed form, its errors on samples that the fit did not see, and those samples."""

    closed: MirrorObjective
    errors: DistillErrors
    held: Realised


def read_learned(named: NamedObjective) -> tuple[dict[str, Any], MirrorObjective]:
    """The card and the objective in a run folder or objective file.

    Raises:
        ValueError: one sentence: it cannot be read, or there is nothing learned in it.
    """
    if named.loss is not None:
        raise ValueError(
            f"objective {named.loss.id!r} is a closed form already: "
            "distil a learned one, given as a run folder or objective file"
        )
    card, objective = read_objective(named.file)
    if is_closed(card):
        raise ValueError(f"objective file {named}: is a distilled form already, of {_source(card)}")
    return card, objective


def _source(card: dict[str, Any]) -> str:
    found = card["provenance"].get("distilled_from")
    return str(found.get("source")) if isinstance(found, dict) else "unknown origin"


def samples_of(learned: Learned, testbed: Testbed | None, reporter: Reporter) -> list[Realised]:
    """Samples to fit on, and others to measure on: two units of training, or two draws from a range."""
    if learned.low is not None or testbed is None or learned.config is None:
        return range_samples(learned.low if learned.low is not None else -5.0)
    return training_samples(testbed, learned.config, learned.objective, learned.sft_epochs, UNITS_OF_THE_FIT, reporter)


def fitted(learned: Learned, samples: list[Realised], settings: DistillSettings, reporter: Reporter) -> Distilled:
    """The closed form, fitted on the first samples and measured on the second."""
    reporter.stage("Fit", 2, "step")
    fit = with_coverage(thinned(samples[0], FIT_SAMPLES, seed=learned.seed), seed=learned.seed)
    closed = distil(learned.objective, fit, settings, temporal=learned.card["temporal"])
    closed = jax.tree.map(lambda leaf: leaf.astype("float32"), closed)
    reporter.advance(1)
    held = thinned(samples[1], HELD_SAMPLES, seed=learned.seed)
    errors = distill_errors(learned.objective, closed, held)
    reporter.advance(1)
    return Distilled(closed, errors, held)
