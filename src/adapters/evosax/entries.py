"""The strategies that a user can name, an entry each; known without importing evosax or JAX: refusals are quick.

An installed package adds its own under the entry point group `mpo.strategies` (docs/extending.md).
"""

import dataclasses
import math
import re
from collections.abc import Callable

from mpo_core.names import unknown_name

LEAST_POPULATION = 4


def _as_it_is(sigma: float) -> float:
    return sigma


@dataclasses.dataclass(frozen=True)
class StrategyEntry:
    """A strategy: where its class is, and what it takes.

    The class, or a function in its place, is called with `population_size`, `solution` (where the search starts) and
    what the flags below say. What comes back has the interface of evosax's `DistributionBasedAlgorithm`
    (`default_params`, `init`, `ask`, `tell`, `get_mean`) and minimises.
    """

    name: str
    algorithm: str
    """`module:name`, imported when a search begins: importing evosax starts JAX."""
    description: str
    """A line for `mpo list strategies`."""
    antithetic: bool = False
    """Whether members come in pairs, mirror images about the mean. As evosax has it, the two of a pair are half a
    population apart."""
    even: bool = False
    """Whether it refuses populations of an odd size; antithetic ones do in any case."""
    takes_sigma_schedule: bool = False
    """Whether it takes a schedule of sigma as `std_schedule`. Others find their first sigma in the field `std_init` of
    their parameters and adapt it themselves."""
    follows_gradient: bool = False
    """Whether it follows an estimated gradient by an `optimizer` and a `fitness_shaping_fn`: it gets Adam and centred
    ranks."""
    std_init: Callable[[float], float] = _as_it_is
    """The `std_init` under which the first members deviate by sigma."""
    averages: bool = True
    """Whether its mean moves about what it looks for, so that averaging the last quarter of a search finds it better.
    Not where the mean is a member that was drawn."""

    def pairs(self, population: int) -> tuple[int, ...] | None:
        """The number of each member's antithetic pair; None where members come without one."""
        half = population // 2
        return tuple(member % half for member in range(population)) if self.antithetic else None


_ENTRIES: dict[str, StrategyEntry] = {}
"""By name, in the order of the listing."""


def register_strategy(entry: StrategyEntry) -> None:
    """Makes a strategy known under its name; the same entry again changes nothing.

    Raises:
        ValueError: one sentence: the name is no plain word or taken, or `algorithm` is not `module:name`.
    """
    if not re.fullmatch(r"[A-Za-z_]\w*", entry.name):
        raise ValueError(f"strategy name {entry.name!r} is not a plain word")
    if not re.fullmatch(r"[\w.]+:\w+", entry.algorithm):
        raise ValueError(f"strategy {entry.name!r}: algorithm {entry.algorithm!r} is not written as 'module:name'")
    if _ENTRIES.setdefault(entry.name, entry) != entry:
        raise ValueError(f"there is a strategy {entry.name!r} already: choose another name")


def strategy_names() -> tuple[str, ...]:
    """Every name that `--strategy` takes."""
    return tuple(_ENTRIES)


def strategy_entry(name: str) -> StrategyEntry:
    """The entry of a strategy.

    Raises:
        ValueError: unknown name, with the nearest ones.
    """
    if name not in _ENTRIES:
        raise unknown_name("strategy", name, _ENTRIES, where="mpo list strategies")
    return _ENTRIES[name]


def check_population(name: str, population: int) -> None:
    """Refuses population sizes that the strategy cannot use.

    Raises:
        ValueError: one sentence that says what is allowed.
    """
    entry = strategy_entry(name)
    if population < LEAST_POPULATION:
        raise ValueError(f"population {population} is too small: a search needs at least {LEAST_POPULATION} members")
    if (entry.even or entry.antithetic) and population % 2:
        why = "draws antithetic pairs" if entry.antithetic else "takes even populations alone"
        raise ValueError(
            f"population {population} is odd, but strategy {name!r} {why}: use an even number such as {population + 1}"
        )


for _entry in (
    StrategyEntry(
        "openes", "evosax.algorithms:Open_ES", "OpenAI evolution strategy, antithetic, Adam",
        antithetic=True, takes_sigma_schedule=True, follows_gradient=True,
    ),
    StrategyEntry(
        "pgpe", "evosax.algorithms:PGPE", "policy gradients with parameter-based exploration",
        antithetic=True, follows_gradient=True,
    ),
    StrategyEntry(
        "ars", "evosax.algorithms:ARS", "augmented random search",
        antithetic=True, takes_sigma_schedule=True, follows_gradient=True,
    ),
    StrategyEntry("cma_es", "evosax.algorithms:CMA_ES", "covariance matrix adaptation"),
    StrategyEntry("sep_cma_es", "evosax.algorithms:Sep_CMA_ES", "CMA-ES with a diagonal covariance"),
    StrategyEntry("snes", "evosax.algorithms:SNES", "separable natural evolution strategy (default)"),
    # evosax's xNES starts with std = std_init and B = std_init * identity, so that members deviate by its square
    StrategyEntry("xnes", "evosax.algorithms:xNES", "exponential natural evolution strategy", std_init=math.sqrt),
    StrategyEntry("simple_es", "evosax.algorithms:SimpleES", "weighted recombination of the best members"),
    StrategyEntry(
        "cr_fm_nes", "evosax.algorithms:CR_FM_NES", "fast-moving natural evolution strategy", antithetic=True
    ),
    StrategyEntry("ma_es", "evosax.algorithms:MA_ES", "matrix adaptation"),
    StrategyEntry("rm_es", "evosax.algorithms:Rm_ES", "rank-m evolution strategy"),
    StrategyEntry("learned_es", "evosax.algorithms:LearnedES", "a learned strategy (LES)"),
    StrategyEntry("discovered_es", "evosax.algorithms:DiscoveredES", "a discovered strategy (DES)"),
    StrategyEntry(
        "random", "adapters.evosax.random_search:RandomSearch", "no evolution: draws around the start, best kept",
        averages=False,
    ),
):  # fmt: skip
    register_strategy(_entry)
