"""What a search costs and how it moves; needs neither JAX nor evosax, so that a command line can check it at once."""

import dataclasses

from adapters.strategy_names import check_population
from mpo_core.settings import check_most, positive

LARGEST = {"generations": 10**6, "datasets": 10**4, "bank_pairs": 10**7, "episodes": 10**5, "horizon": 10**6}
"""Sizes that no machine would finish a search of."""


@dataclasses.dataclass(frozen=True)
class StrategySettings:
    """How a population is drawn and moved.

    `sigma` is the first standard deviation of the search distribution, in units of the learned parameters. For
    strategies that do not adapt it, it decays to `sigma * sigma_decay` over the search, and so does the learning rate.
    """

    __pydantic_config__ = {"extra": "forbid"}

    name: str = "openes"
    population: int = 24
    sigma: float = 0.2
    sigma_decay: float = 0.5
    learning_rate: float = 0.05
    learning_rate_decay: float = 0.2

    def __post_init__(self):
        check_population(self.name, self.population)
        check_most("strategy: population", self.population, 10**6)
        if not all(map(positive, (self.sigma, self.sigma_decay, self.learning_rate, self.learning_rate_decay))):
            raise ValueError("strategy: sigma, learning_rate and their decays must be positive and finite")


@dataclasses.dataclass(frozen=True)
class SearchSettings:
    """What a generation costs: members x datasets x (inner loop + episodes)."""

    __pydantic_config__ = {"extra": "forbid"}

    generations: int = 40
    datasets: int = 1
    """Units a generation: every member is scored on each, and the scores are averaged."""
    spread: bool = False
    """Instead, every antithetic pair of members is scored on one of the datasets, at the cost of a single one."""
    bank_pairs: int = 512
    """Pairs of trajectories that the datasets of the generations are drawn from."""
    bank_refresh: int = 0
    """Generations until the pairs are rolled out anew; 0 keeps them for the whole search."""
    episodes: int = 4
    horizon: int = 250

    def __post_init__(self):
        for name in ("generations", "datasets", "bank_pairs", "episodes", "horizon"):
            if getattr(self, name) < 1:
                raise ValueError(f"search: {name} must be at least 1, not {getattr(self, name)}")
            check_most(f"search: {name}", getattr(self, name), LARGEST[name])
        if self.bank_refresh < 0:
            raise ValueError(f"search: bank_refresh must be at least 0, not {self.bank_refresh}")
