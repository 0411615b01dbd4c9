"""One search of settings for every hand-written objective: equal budgets, on the tuning stream."""

import dataclasses
from collections.abc import Callable

import jax
import numpy as np

from mpo_core.evaluation.comparison import ComparisonSettings
from mpo_core.evaluation.statistics import mean_interval
from mpo_core.losses.catalogue import CatalogueEntry, catalogue_entry
from mpo_core.seeds import Purpose, Stream, stream_key
from mpo_core.settings import InnerLoopSettings, updates_of
from mpo_experiments.progress import Reporter
from mpo_experiments.provenance import made_here
from mpo_experiments.testbed import Testbed
from mpo_experiments.tuning.plan import Method, plan_of
from mpo_experiments.tuning.ranges import SettingRange, published_ranges, published_values, ranges_with_default
from mpo_experiments.tuning.scores import SettingScores
from mpo_experiments.tuning.setting_search import (
    LEARNING_RATE,
    SFT_EPOCHS,
    ObjectiveSearch,
    Score,
    Setting,
    rate_range,
    search_settings,
)
from mpo_experiments.tuning.tuned import TunedCell, TunedObjective

TOKEN_EPISODES = 32
"""Of each agent, to see how many tokens a trajectory has: not to depend on the devices that are there."""
SFT_SHARES = (0.0, 0.25, 0.5, 0.75, 5 / 6)
"""Shares of the epochs that are SFT: no such phase, quarters, and the paper's 10 of 12."""
FADE = {"t0": (0.0, 0.5), "t1": (0.5, 1.0)}
"""Where the two times of an objective that changes over training lie: the first in the first half."""


@dataclasses.dataclass(frozen=True)
class TuningSettings:
    """An equal number of inner loops for every objective: as many as `budget` settings on all units take."""

    budget: int
    comparison: ComparisonSettings
    method: Method = "halving"
    tune: tuple[str, ...] = ()
    """Of `plan.TUNABLE`."""


def tune(
    testbed: Testbed, ids: tuple[str, ...], settings: TuningSettings, command: str, reporter: Reporter,
    kept: Callable[[SettingScores], Score] = lambda score: score,
) -> TunedCell:  # fmt: skip
    """Searches every objective's settings and keeps the best by mean normalised score.

    Args:
        command: what to write down as the way to repeat this.
        kept: given how settings are scored, does it where it was not done before.
    """
    comparison = settings.comparison
    tokens = mean_tokens(testbed, comparison.rows.length)
    searches = [objective_search(id, settings, tokens) for id in ids]
    plan = plan_of(settings.method, settings.budget, comparison.units)
    search_settings(searches, plan, kept(SettingScores(testbed, comparison, reporter)))
    return TunedCell(
        task=testbed.name, data=str(comparison.spec), command=command, units=comparison.units,
        ranges={one.id: {range_.name: [range_.low, range_.high] for range_ in one.ranges} for one in searches},
        method=settings.method, tune=list(settings.tune),
        updates_a_loop=updates_of(1, comparison.rows, comparison.inner),
        provenance={
            "rows": dataclasses.asdict(comparison.rows), "inner": comparison.inner.recorded(),
            "evaluation": dataclasses.asdict(comparison.evaluation), "seed": comparison.seed,
            "stream": comparison.stream.name.lower(),
            "tokens": round(tokens, 1), "bin_width": testbed.token_width,
            **made_here(testbed.name, str(comparison.spec), comparison.inner),
        },
        objectives={one.id: _tuned(one) for one in searches},
    )  # fmt: skip


def _tuned(search: ObjectiveSearch) -> TunedObjective:
    setting, scores = search.best
    interval = mean_interval(scores)
    return TunedObjective(
        settings=setting.values, sft_epochs=setting.sft_epochs, learning_rate=setting.learning_rate,
        score=interval.estimate, low=interval.low, high=interval.high, tried=search.tried, loops=search.loops,
        searched=search.searched(),
    )  # fmt: skip


def objective_search(id: str, settings: TuningSettings, tokens: float) -> ObjectiveSearch:
    """The search of an objective before its first round; its draws depend on its id and the comparison's seed alone."""
    entry, comparison = catalogue_entry(id), settings.comparison
    own = published_ranges(entry, tokens) if settings.method == "fixed" else ranges_with_default(entry, tokens)
    ranges = own + _inner_ranges(entry, comparison.inner, settings.tune)
    default = Setting({}, entry.sft_epochs_of(comparison.inner.epochs))
    defaults = published_values(id, ranges) | {
        LEARNING_RATE: comparison.inner.learning_rate,
        SFT_EPOCHS: float(default.sft_epochs),
    }
    generator = np.random.default_rng([comparison.seed, int(comparison.stream), *entry.id.encode()])
    return ObjectiveSearch(id, default, defaults, ranges, generator)


def is_searched(id: str, tune: tuple[str, ...]) -> bool:
    """Whether an objective has anything to search: a saved one is run as it was found."""
    entry = catalogue_entry(id)
    return bool(entry.tuning) or (bool(tune) and isinstance(entry.factory, type))


def _inner_ranges(entry: CatalogueEntry, inner: InnerLoopSettings, tune: tuple[str, ...]) -> list[SettingRange]:
    """The ranges of the inner loop's settings, alike for every hand-written objective."""
    if not isinstance(entry.factory, type):
        return []
    found = []
    if "learning-rate" in tune:
        found.append(rate_range(inner.learning_rate))
    if "schedule" in tune:
        own = set(getattr(entry.factory, "__dataclass_fields__", ())) - {range_.name for range_ in entry.tuning}
        times = {name: where for name, where in FADE.items() if name in own}
        found += [SettingRange(name, low, high, log=False, domain=(low, high)) for name, (low, high) in times.items()]
        steps = tuple(sorted({float(min(round(share * inner.epochs), inner.epochs - 1)) for share in SFT_SHARES}))
        found.append(SettingRange(SFT_EPOCHS, steps[0], steps[-1], log=False, steps=steps))
    return found


def mean_tokens(testbed: Testbed, length: int) -> float:
    """Mean length in tokens of the two agents' trajectories, early ends counted."""
    agent = np.repeat(np.arange(2), TOKEN_EPISODES)
    keys = [
        jax.random.split(stream_key(0, Stream.TUNING, 2**31 - 1, purpose), len(agent))
        for purpose in (Purpose.START_STATES, Purpose.ACTIONS)
    ]
    done = testbed.program.trajectories(testbed.agents, agent, (keys[0], keys[1]), horizon=length)
    return float(np.mean(done.tokens))
