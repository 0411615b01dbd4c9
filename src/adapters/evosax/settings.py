"""How a population is drawn and moved; needs neither JAX nor evosax, so that it is checked at once."""

import dataclasses

from adapters.evosax.entries import check_population, strategy_entry
from mpo_core.settings import check_most, positive


@dataclasses.dataclass(frozen=True)
class StrategySettings:
    """How a population is drawn and moved.

    `sigma` is the first standard deviation of the search distribution, in units of the learned parameters. For
    strategies that do not adapt it, it decays to `sigma * sigma_decay` over the search. The learning rate is that of
    strategies that follow a gradient, and decays likewise.
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

    @property
    def without_effect(self) -> tuple[str, ...]:
        """Settings that the strategy of this name does not take."""
        entry = strategy_entry(self.name)
        rates = () if entry.follows_gradient else ("learning_rate", "learning_rate_decay")
        return rates if entry.takes_sigma_schedule else ("sigma_decay", *rates)
