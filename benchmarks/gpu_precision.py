"""Whether the precision of the inner loop's products matters: the same objectives on the same units, paired."""

import dataclasses
from collections.abc import Iterator

import jax
import numpy as np

from mpo_core.evaluation.candidates import Candidate
from mpo_core.evaluation.comparison import Comparison, ComparisonSettings
from mpo_core.evaluation.jobs import make_units
from mpo_core.evaluation.statistics import mean_interval
from mpo_core.losses.catalogue import make_objective
from mpo_core.settings import PRECISIONS
from mpo_experiments.testbed import Testbed

IDS = ("orpo", "simpo", "sft")


def paired_scores(testbed: Testbed, settings: ComparisonSettings) -> Iterator[tuple[str, float, str]]:
    """Mean normalised score of each objective in full precision, and how far each other precision lies from it.

    Yields:
        What it is, the mean over units, and its 95 % interval.
    """
    candidates = [Candidate(make_objective(id)) for id in IDS]
    units, scores = None, {}
    for precision in PRECISIONS:
        inner = dataclasses.replace(settings.inner, precision=precision)
        comparison = Comparison(testbed.program, testbed.agents, dataclasses.replace(settings, inner=inner))
        batches = []
        for first in range(0, settings.units, comparison.units_at_once()):
            batch = range(first, min(first + comparison.units_at_once(), settings.units))
            if units is None or len(batch) < settings.units:  # rolled out again only where they do not all fit
                units = comparison.make_units(batch)
            else:
                remade = jax.jit(
                    lambda old, inner=inner: make_units(testbed.original, old.rows, old.training_key, inner)
                )
                units = remade(units)
            batches.append(comparison.train(candidates, units, len(batch))[0])
        policies = jax.tree.map(lambda *parts: np.concatenate(parts, axis=1), *batches)
        scores[precision] = testbed.normalised(comparison.evaluate(policies, 1.0), settings.evaluation)
    for place, id in enumerate(IDS):
        whole = mean_interval(scores["highest"][place])
        yield f"{id}, highest", whole.estimate, f"[{whole.low:.3f}, {whole.high:.3f}]"
        for precision in PRECISIONS:
            if precision != "highest":
                difference = mean_interval(scores[precision][place] - scores["highest"][place])
                detail = f"[{difference.low:.3f}, {difference.high:.3f}]"
                yield f"{id}, {precision} - highest", difference.estimate, detail
