"""Learned objectives to start a search from, and learned objectives in another frame."""

from pathlib import Path

from adapters.storage.objective_files import is_closed, read_objective, save_objective
from adapters.storage.objective_paths import CARD_NAME
from mpo_core.mirror.learned import learned_mirror, with_frame, with_reference, with_time
from mpo_core.mirror.mirror_objective import MirrorObjective
from mpo_core.mirror.monotone_network import UNIT_FRAME, Frame
from mpo_experiments.objectives.named import NamedObjective


def learned_start(
    init: NamedObjective, temporal: bool, reference: bool | None = None, frame: Frame = UNIT_FRAME
) -> MirrorObjective:
    """The learned member that a search starts from.

    Args:
        init: a loss that is a monotone member of the class, or a file that `save_objective` wrote.
        temporal: whether it sees training progress; a file of one that does not is widened to one that does.
        reference: whether the bracket has a reference policy; None: as `init` has it.
        frame: where the units of the networks lie; a file keeps its own.

    Raises:
        ValueError: not a member of the class, or not a monotone one, or a file that does not fit.
    """
    if init.loss is not None:
        return with_reference(learned_mirror(init.loss.mirror(), temporal=temporal, frame=frame), reference)
    card, objective = read_objective(init.file)
    if is_closed(card):
        raise ValueError(
            f"objective file {init}: is a distilled form, from which no search starts; "
            "start from what it was distilled from, or from an id"
        )
    if card["temporal"] and not temporal:
        raise ValueError(
            f"objective file {init}: was learned with --temporal, and a search that starts from it must be too"
        )
    return with_reference(with_time(objective) if temporal and not card["temporal"] else objective, reference)


def save_reframed(named: NamedObjective, frame: Frame, folder: Path) -> None:
    """Writes a learned objective with its networks in another frame.

    Raises:
        ValueError: no learned objective, or none with networks, or the folder holds an objective.
    """
    if not named.is_saved:
        raise ValueError(
            f"{named.text!r} is no learned objective: name a run folder, an objective file, or discovered/NAME"
        )
    card, objective = read_objective(named.file)
    if is_closed(card):
        raise ValueError(f"objective file {named}: is a distilled form, which has no networks to move")
    if (folder / CARD_NAME).exists():
        raise ValueError(f"--out {folder}: holds an objective, which would be lost: name another folder")
    try:
        moved = with_frame(objective, frame)
    except ValueError as error:
        raise ValueError(f"objective file {named}: {error}") from None
    told = {"source": named.text, "sha256": card["sha256"], "centre": frame.centre, "width": frame.width}
    provenance = card["provenance"] | {"reframed": told}
    save_objective(folder, moved, init=card["init"], temporal=card["temporal"], provenance=provenance)
