"""The same random search for every hand-written objective: equal budgets, on the tuning stream."""

import dataclasses
import math

import jax
import numpy as np

from mpo_core.evaluation.comparison import Candidate, ComparisonSettings
from mpo_core.evaluation.statistics import mean_interval
from mpo_core.losses.catalogue import CatalogueEntry, catalogue_entry, make_objective
from mpo_core.losses.entry import TuningRange
from mpo_core.seeds import Purpose, Stream, stream_key
from mpo_experiments.progress import Reporter
from mpo_experiments.provenance import computed_by, devices, versions
from mpo_experiments.testbed import Testbed
from mpo_experiments.tuning.tuned import TunedCell, TunedObjective

TOKENS_OF_PUBLISHED_RANGES = 100.0
"""A coefficient of a sum over a trajectory is searched on its published range divided by tokens / 100."""
TOKEN_EPISODES = 32
"""Of each agent, to see how many tokens a trajectory has: not to depend on the devices that are there."""


@dataclasses.dataclass(frozen=True)
class TuningSettings:
    """`budget` settings an objective, the published default among them, each on the units of the comparison."""

    budget: int
    comparison: ComparisonSettings


def tune(
    testbed: Testbed, ids: tuple[str, ...], settings: TuningSettings, command: str, reporter: Reporter
) -> TunedCell:
    """Searches every objective's settings and keeps the best by mean normalised score.

    Args:
        command: what to write down as the way to repeat this.
    """
    tokens = mean_tokens(testbed, settings.comparison.rows.length)
    tried = [(id, choice) for id in ids for choice in _choices(catalogue_entry(id), settings, tokens)]
    epochs = settings.comparison.inner.epochs
    candidates = [
        Candidate(make_objective(id, **choice), catalogue_entry(id).sft_epochs_of(epochs)) for id, choice in tried
    ]
    scores = testbed.compare(candidates, settings.comparison, reporter).sampled
    objectives = {}
    for id in ids:
        places = [place for place, (owner, _) in enumerate(tried) if owner == id]
        best = max(places, key=lambda place: np.nan_to_num(scores[place].mean(), nan=-np.inf))
        interval = mean_interval(scores[best])
        objectives[id] = TunedObjective(
            settings=tried[best][1], sft_epochs=catalogue_entry(id).sft_epochs_of(epochs),
            score=interval.estimate, low=interval.low, high=interval.high, tried=len(places),
        )  # fmt: skip
    comparison = settings.comparison
    return TunedCell(
        task=testbed.name, data=str(comparison.spec), command=command, units=comparison.units,
        ranges={id: {r.name: list(scaled_range(r, tokens)) for r in catalogue_entry(id).tuning} for id in ids},
        provenance={
            "rows": dataclasses.asdict(comparison.rows), "inner": comparison.inner.recorded(),
            "evaluation": dataclasses.asdict(comparison.evaluation), "seed": comparison.seed,
            "stream": comparison.stream.name.lower(),
            "tokens": round(tokens, 1), "bin_width": testbed.token_width, "backend": testbed.task.backend,
            "versions": versions(), "devices": devices(), "products": computed_by(comparison.inner),
        },
        objectives=objectives,
    )  # fmt: skip


def mean_tokens(testbed: Testbed, length: int) -> float:
    """Mean length in tokens of the two agents' trajectories, early ends counted."""
    agent = np.repeat(np.arange(2), TOKEN_EPISODES)
    keys = [
        jax.random.split(stream_key(0, Stream.TUNING, 2**31 - 1, purpose), len(agent))
        for purpose in (Purpose.START_STATES, Purpose.ACTIONS)
    ]
    done = testbed.program.trajectories(testbed.agents, agent, (keys[0], keys[1]), horizon=length)
    return float(np.mean(done.tokens))


def scaled_range(range_: TuningRange, tokens: float) -> tuple[float, float]:
    """The range searched on trajectories of so many tokens."""
    factor = TOKENS_OF_PUBLISHED_RANGES / tokens if range_.scale == "sum" else 1.0
    return range_.low * factor, range_.high * factor


def _choices(entry: CatalogueEntry, settings: TuningSettings, tokens: float) -> list[dict[str, float]]:
    """The published default, then settings drawn from the ranges; an objective without ranges has its default alone."""
    generator = np.random.default_rng([settings.comparison.seed, int(settings.comparison.stream), *entry.id.encode()])
    drawn: list[dict[str, float]] = [{}]
    while entry.tuning and len(drawn) < settings.budget:
        drawn.append({range_.name: _draw(range_, tokens, generator) for range_ in entry.tuning})
    return drawn


def _draw(range_: TuningRange, tokens: float, generator: np.random.Generator) -> float:
    low, high = scaled_range(range_, tokens)
    if range_.log:
        return float(f"{math.exp(generator.uniform(math.log(low), math.log(high))):.4g}")
    return float(f"{generator.uniform(low, high):.4g}")
