"""What a search takes, in the same coin as tuning: inner loops, and their updates."""

from mpo_core.settings import updates_of
from mpo_experiments.settings.run_config import CellConfig


def search_loops(config: CellConfig) -> int:
    """Inner loops of the members of a whole search on one task and kind of data; its mean and start are left out."""
    each = 1 if config.search.spread else config.search.datasets
    return config.search.generations * config.strategy.population * each


def search_updates(config: CellConfig) -> int:
    """Updates of these inner loops."""
    return updates_of(search_loops(config), config.rows, config.inner)
