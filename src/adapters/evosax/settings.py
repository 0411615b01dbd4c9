"""How a population is drawn and moved; needs neither JAX nor evosax, so that it is checked at once."""

import dataclasses

from adapters.evosax.entries import check_population
from mpo_core.settings import check_most, positive


@dataclasses.dataclass(frozen=True)
class StrategySettings:
    """How a population is drawn and moved.

    `sigma` is the first standard deviation of the search distribution, in units of the learned parameters. For
    strategies that do not adapt it, it decays to `sigma * sigma_decay` over the search, and so does the learning rate.
    """

    __pydantic_config__ = {"extra": "forbid"}

    name: str = "snes"
    population: int = 24
    sigma: float = 1.0
    sigma_decay: float = 0.5
    learning_rate: float = 0.5
    learning_rate_decay: float = 0.2

    def __post_init__(self):
        check_population(self.name, self.population)
        check_most("strategy: population", self.population, 10**6)
        if not all(map(positive, (self.sigma, self.sigma_decay, self.learning_rate, self.learning_rate_decay))):
            raise ValueError("strategy: sigma, learning_rate and their decays must be positive and finite")
