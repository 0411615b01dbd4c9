"""A loss of the catalogue with settings, as a text such as `dpo:beta=0.3` names it.

The catalogue, and JAX with it, is imported where it is needed: to hold a name takes neither.
"""

import dataclasses
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mpo_core.losses.entry import CatalogueEntry
    from mpo_core.mirror.mirror_objective import MirrorObjective
    from mpo_core.objective.interface import AbstractObjective


@dataclasses.dataclass(frozen=True)
class NamedLoss:
    """An id and the settings that were given with it; others are as published."""

    id: str
    settings: tuple[tuple[str, float | str], ...] = ()

    def __str__(self) -> str:
        shown = [f"{name}={value if isinstance(value, str) else f'{value:.7g}'}" for name, value in self.settings]
        return f"{self.id}:{','.join(shown)}" if shown else self.id

    @property
    def entry(self) -> "CatalogueEntry":
        """What the catalogue says of it."""
        from mpo_core.losses.catalogue import catalogue_entry

        return catalogue_entry(self.id)

    def make(self) -> "AbstractObjective":
        """The objective."""
        from mpo_core.losses.catalogue import make_objective

        return make_objective(self.id, **dict(self.settings))

    def mirror(self) -> "MirrorObjective":
        """The same as a member of the mirror class.

        Raises:
            ValueError: it is none.
        """
        from mpo_core.losses.members import as_mirror

        return as_mirror(self.id, **dict(self.settings))

    def spelled_out(self) -> "NamedLoss":
        """It with every number that it has, so that new defaults change no old file."""
        import equinox as eqx

        kept = sorted(vars(self.make()).items())
        numbers = [(name, value) for name, value in kept if eqx.is_array(value) or isinstance(value, str)]
        return NamedLoss(
            self.id, tuple((name, value if isinstance(value, str) else float(value)) for name, value in numbers)
        )

    def with_settings(self, **settings: float | str) -> "NamedLoss":
        """It with other settings over its own."""
        return NamedLoss(self.id, tuple((dict(self.settings) | settings).items()))


def parse_loss(text: str) -> NamedLoss:
    """The loss that `id` or `id:name=value,...` names.

    Raises:
        ValueError: one sentence: what is wrong with the text.
    """
    from mpo_core.losses.catalogue import parse_objective_text

    id, settings = parse_objective_text(text)
    return NamedLoss(id, tuple(settings.items()))
