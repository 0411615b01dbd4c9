"""The strategies a user can name; known without importing evosax, so that refusals are quick."""

from mpo_core.names import unknown_name

_CLASSES = {
    "openes": ("Open_ES", "OpenAI evolution strategy, antithetic, Adam"),
    "pgpe": ("PGPE", "policy gradients with parameter-based exploration"),
    "ars": ("ARS", "augmented random search"),
    "cma_es": ("CMA_ES", "covariance matrix adaptation"),
    "sep_cma_es": ("Sep_CMA_ES", "CMA-ES with a diagonal covariance"),
    "snes": ("SNES", "separable natural evolution strategy (default)"),
    "xnes": ("xNES", "exponential natural evolution strategy"),
    "simple_es": ("SimpleES", "weighted recombination of the best members"),
    "cr_fm_nes": ("CR_FM_NES", "fast-moving natural evolution strategy"),
    "ma_es": ("MA_ES", "matrix adaptation"),
    "rm_es": ("Rm_ES", "rank-m evolution strategy"),
    "learned_es": ("LearnedES", "a learned strategy (LES)"),
    "discovered_es": ("DiscoveredES", "a discovered strategy (DES)"),
}
_EVEN = ("openes", "pgpe", "ars", "cr_fm_nes")


def strategy_names() -> tuple[str, ...]:
    """Every name that `--strategy` takes."""
    return tuple(_CLASSES)


def strategy_description(name: str) -> str:
    """A line on what the strategy is."""
    return _CLASSES[name][1]


def strategy_class_name(name: str) -> str:
    """The evosax class of a strategy.

    Raises:
        ValueError: unknown name, with the nearest ones.
    """
    if name not in _CLASSES:
        raise unknown_name("strategy", name, _CLASSES, where="mpo list strategies")
    return _CLASSES[name][0]


def check_population(name: str, population: int) -> None:
    """Refuses population sizes that the strategy cannot use.

    Raises:
        ValueError: one sentence that says what is allowed.
    """
    strategy_class_name(name)
    if population < 4:
        raise ValueError(f"population {population} is too small: a search needs at least 4 members")
    if name in _EVEN and population % 2:
        raise ValueError(
            f"population {population} is odd, but strategy {name!r} draws antithetic pairs: "
            f"use an even number such as {population + 1}"
        )
