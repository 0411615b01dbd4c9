"""What `mpo show` shows: an objective, and the hand-written ones that it is shown beside."""

import dataclasses
from typing import Any

from adapters.storage.objective_files import told_of
from mpo_core.evaluation.candidates import Candidate
from mpo_core.losses.catalogue import make_objective
from mpo_core.losses.members import as_mirror, member_ids, why_not_member
from mpo_core.mirror.mirror_objective import MirrorObjective
from mpo_core.objective.interface import AbstractObjective
from mpo_experiments.objectives.named import NamedObjective
from mpo_experiments.settings.run_config import CellConfig
from mpo_experiments.tuning.tuned import epochs_before, load_tuned

REFERENCES = ("tempo", "dpo", "orpo", "simpo")
PUBLISHED = "published settings"
DISCOVERED = "discovered"
"""Name of a run's objective."""


@dataclasses.dataclass(frozen=True)
class Shown:
    """An objective as figures need it."""

    name: str
    """Its name in figures."""
    objective: AbstractObjective
    mirror: MirrorObjective | None
    """The same as a member of the mirror class; None where it is none."""
    sft_epochs: int
    note: str
    """Its settings and where they come from; of the objective in question, why it has no maps."""
    card: dict[str, Any] | None = None
    """objective.json, where it comes from a file."""
    learning_rate: float | None = None
    """Of its training; None: that of the inner loop."""

    @property
    def candidate(self) -> Candidate:
        """How it is trained."""
        return Candidate(self.objective, self.sft_epochs, self.learning_rate)


def find_subject(named: NamedObjective, epochs: int) -> Shown:
    """The objective to show.

    Args:
        epochs: of the training, SFT included.

    Raises:
        ValueError: one sentence: what, where, what is allowed.
    """
    _check_folder(named)
    loaded, sft_epochs = named.load(), named.sft_epochs(epochs)
    loss = named.loss
    if loss is None:
        place, card = named.file, named.card()
        name = DISCOVERED if (place / "config.json").exists() else place.name if place.is_dir() else place.stem
        mirror = loaded if isinstance(loaded, MirrorObjective) else None
        return Shown(name, loaded, mirror, sft_epochs, told_of(card)["objective"], card)
    if loss.id in member_ids():
        return Shown(named.text, loaded, loss.mirror(), sft_epochs, str(loss.spelled_out()))
    why = why_not_member(loss.id)
    return Shown(named.text, loaded, None, sft_epochs, f"no exact member of the class: {why}")


def references(config: CellConfig | None, subject: Shown) -> tuple[Shown, ...]:
    """TeMPO, DPO, ORPO and SimPO, tuned where they are for the task; the subject itself is left out.

    Args:
        config: whose task, data and inner loop; without it, published settings.

    Raises:
        ValueError: tuned settings that cannot be read.
    """
    cell = load_tuned(config.task, config.data) if config else None
    epochs = config.inner.epochs if config else 12
    found = []
    for id in REFERENCES:
        tuned = cell.objectives.get(id) if cell else None
        settings: dict[str, Any] = tuned.settings if tuned else {}
        rate = tuned.learning_rate if tuned else None
        told = settings if rate is None else settings | {"learning rate": rate}
        shown = ", ".join(f"{name}={value:.4g}" for name, value in told.items()) or "default"
        note = f"{shown}; tuned on {cell.task}, {cell.conditions()}" if cell and tuned else PUBLISHED
        name = f"{id} (tuned)" if tuned else id
        objective, mirror = make_objective(id, **settings), as_mirror(id, **settings)
        found.append(Shown(name, objective, mirror, epochs_before(cell, id, epochs), note, learning_rate=rate))
    return tuple(one for one in found if not (one.name == subject.name and one.note == PUBLISHED))


def _check_folder(named: NamedObjective) -> None:
    """Refuses a folder without an objective in words that say what it lacks.

    Raises:
        ValueError: an unfinished run, or no run at all.
    """
    folder = named.path
    if folder is None or not folder.is_dir() or (folder / "objective.json").exists():
        return
    if (folder / "config.json").exists():
        raise ValueError(
            f"run folder {folder}: has no objective yet; finish it with `mpo meta-train --resume {folder}`"
        )
    raise ValueError(f"folder {folder}: holds neither a run (config.json) nor an objective (objective.json)")
