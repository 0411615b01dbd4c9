"""What a search costs and how it moves; needs neither JAX nor evosax, so that a command line can check it at once."""

import dataclasses

from mpo_core.names import shortened, unknown_name
from mpo_core.settings import MAPS, check_most

LARGEST = {"generations": 10**6, "datasets": 10**4, "bank_pairs": 10**7, "episodes": 10**5, "horizon": 10**6}
"""Sizes that no machine would finish a search of."""

FRAMES = ("card", "data")
"""Where the frame of a search may come from."""
LEAST_SCALE = 1e-3
"""Of the start's psi and g: a factor further from 1 would leave an amplitude no room to learn."""


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
    members_at_once: int = 0
    """Jobs that a device trains side by side; 0: one after another on CPUs, as many as fit on an accelerator."""
    maps: str = ",".join(MAPS)
    """Which of the three maps are learned, joined by commas; the others stay as the search's start has them."""
    networks: bool = True
    """Whether their networks are learned, or only how strong the start's closed forms are over training: 9 numbers
    instead of 54."""
    scale: float = 0.02
    """Factor on psi and g of the start, if that is no file. The gradient's norm is clipped: only under a small scale do
    amplitudes that change over training change the optimiser's steps."""

    frame: str = "card"
    """Where the frame's log-probs are from: the agents' `card`, which a learner does not have, or the `data` alone."""

    @property
    def learned(self) -> list[str]:
        """The names of the maps that are learned."""
        return self.maps.split(",")

    def __post_init__(self):
        if self.frame not in FRAMES:
            raise unknown_name("search.frame", self.frame, FRAMES)
        for name in self.learned:
            if name not in MAPS:
                raise unknown_name("map in 'search.maps'", name, MAPS)
        if len(set(self.learned)) < len(self.learned):
            raise ValueError(f"search: maps {shortened(self.maps)!r} names one of them twice")
        for name in ("generations", "datasets", "bank_pairs", "episodes", "horizon"):
            if getattr(self, name) < 1:
                raise ValueError(f"search: {name} must be at least 1, not {getattr(self, name)}")
            check_most(f"search: {name}", getattr(self, name), LARGEST[name])
        if not LEAST_SCALE <= self.scale <= 1 / LEAST_SCALE:
            raise ValueError(f"search: scale must be from {LEAST_SCALE:g} to {1 / LEAST_SCALE:g}, not {self.scale}")
        for name in ("bank_refresh", "members_at_once"):
            if getattr(self, name) < 0:
                raise ValueError(f"search: {name} must be at least 0, not {getattr(self, name)}")
