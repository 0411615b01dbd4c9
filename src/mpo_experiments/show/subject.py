"""What `mpo show` shows: an objective, and the hand-written ones that it is shown beside."""

import dataclasses
from pathlib import Path
from typing import Any

from adapters.storage.objective_files import read_objective, told_of
from mpo_core.losses.catalogue import catalogue_entry, make_objective, parse_objective_text
from mpo_core.losses.members import as_mirror, member_ids, why_not_member
from mpo_core.mirror.mirror_objective import MirrorObjective
from mpo_core.objective.interface import AbstractObjective
from mpo_experiments.objectives.lookup import canonical_text, is_path, load_objective, located, sft_epochs_of
from mpo_experiments.settings.run_config import CellConfig
from mpo_experiments.tuning.tuned import load_tuned

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


def find_subject(text: str, epochs: int) -> Shown:
    """The objective to show.

    Args:
        text: `id`, `id:name=value,...`, an objective file or a run folder.
        epochs: of the training, SFT included.

    Raises:
        ValueError: one sentence: what, where, what is allowed.
    """
    _check_folder(text)
    loaded, sft_epochs = load_objective(text), sft_epochs_of(text, epochs)
    if isinstance(loaded, MirrorObjective):
        place = located(text)
        card, named = read_objective(place)[0], place.name if place.is_dir() else place.stem
        name = DISCOVERED if (place / "config.json").exists() else named
        return Shown(name, loaded, loaded, sft_epochs, told_of(card)["objective"], card)
    id, settings = parse_objective_text(text)
    if id in member_ids():
        return Shown(text, loaded, as_mirror(id, **settings), sft_epochs, canonical_text(text))
    return Shown(text, loaded, None, sft_epochs, f"no exact member of the class: {why_not_member(id)}")


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
        shown = ", ".join(f"{name}={value:.4g}" for name, value in settings.items()) or "default"
        note = f"{shown}; tuned on {cell.task}, {cell.conditions()}" if cell and tuned else PUBLISHED
        name = f"{id} (tuned)" if tuned else id
        objective, mirror = make_objective(id, **settings), as_mirror(id, **settings)
        found.append(Shown(name, objective, mirror, catalogue_entry(id).sft_epochs_of(epochs), note))
    return tuple(one for one in found if not (one.name == subject.name and one.note == PUBLISHED))


def _check_folder(text: str) -> None:
    """Refuses a folder without an objective in words that say what it lacks.

    Raises:
        ValueError: an unfinished run, or no run at all.
    """
    folder = Path(text)
    if not (is_path(text) and folder.is_dir()) or (folder / "objective.json").exists():
        return
    if (folder / "config.json").exists():
        raise ValueError(
            f"run folder {folder}: has no objective yet; finish it with `mpo meta-train --resume {folder}`"
        )
    raise ValueError(f"folder {folder}: holds neither a run (config.json) nor an objective (objective.json)")
