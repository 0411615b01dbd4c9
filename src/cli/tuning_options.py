"""How settings of hand-written objectives are searched, as options of the commands that tune."""

from typing import Annotated

import typer

from mpo_core.names import unknown_name
from mpo_experiments.tuning.plan import METHODS, TUNABLE, Method

TuningOption = Annotated[
    str, typer.Option(help="halving, or fixed: every setting on every unit, published ranges never extended.")
]
TuneOption = Annotated[
    str | None, typer.Option(help="Tune these too, for every loss alike: learning-rate, schedule or both, by commas.")
]


def check_tuning(method: str, tune: str | None) -> tuple[Method, tuple[str, ...]]:
    """The method and what of the inner loop it tunes, in their order.

    Raises:
        ValueError: one of them is not known.
    """
    found: Method | None = next((one for one in METHODS if one == method), None)
    if found is None:
        raise unknown_name("way of tuning", method, METHODS)
    names = [] if tune is None else [name.strip() for name in tune.split(",")]
    for name in names:
        if name not in TUNABLE:
            raise unknown_name("setting of --tune", name, TUNABLE)
    return found, tuple(name for name in TUNABLE if name in names)
