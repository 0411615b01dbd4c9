"""Objectives by what a user calls them: an id with settings, a file, a run folder, or one that comes with mpo."""

from pathlib import Path

import equinox as eqx

from adapters.storage.objective_files import is_closed, read_objective, save_objective
from adapters.storage.objective_paths import CARD_NAME, PREFIX, names_file
from mpo_core.losses.catalogue import catalogue_entry, make_objective, objective_ids, parse_objective_text
from mpo_core.losses.members import as_mirror
from mpo_core.mirror.learned import learned_mirror, with_frame, with_reference, with_time
from mpo_core.mirror.mirror_objective import MirrorObjective
from mpo_core.mirror.monotone_network import UNIT_FRAME, Frame
from mpo_core.names import unknown_name
from mpo_core.objective.interface import AbstractObjective

BUNDLED = Path(__file__).parent.parent / "bundled" / "discovered"


def canonical_text(text: str) -> str:
    """`tempo` as `tempo:beta=2,lam=1,...`: every number spelled out, so that new defaults change no old file."""
    id, settings = parse_objective_text(text)
    objective = make_objective(id, **settings)
    numbers = {
        name: value for name, value in sorted(vars(objective).items()) if eqx.is_array(value) or isinstance(value, str)
    }
    shown = [f"{name}={value if isinstance(value, str) else f'{float(value):.7g}'}" for name, value in numbers.items()]
    return f"{id}:{','.join(shown)}" if shown else id


def learned_start(
    init: str, temporal: bool, reference: bool | None = None, frame: Frame = UNIT_FRAME
) -> MirrorObjective:
    """The learned member that a search starts from.

    Args:
        init: an objective as `id`, `id:name=value,...`, or a file that `save_objective` wrote.
        temporal: whether it sees training progress; a file of one that does not is widened to one that does.
        reference: whether the bracket has a reference policy; None: as `init` has it.
        frame: where the units of the networks lie; a file keeps its own.

    Raises:
        ValueError: not a member of the class, or not a monotone one, or a file that does not fit.
    """
    if is_path(init):
        card, objective = read_objective(located(init))
        if is_closed(card):
            raise ValueError(
                f"objective file {init}: is a distilled form, from which no search starts; "
                "start from what it was distilled from, or from an id"
            )
        if card["temporal"] and not temporal:
            raise ValueError(
                f"objective file {init}: was learned with --temporal, and a search that starts from it must be too"
            )
        objective = with_time(objective) if temporal and not card["temporal"] else objective
    else:
        id, settings = parse_objective_text(init)
        objective = learned_mirror(as_mirror(id, **settings), temporal=temporal, frame=frame)
    return with_reference(objective, reference)


def save_reframed(text: str, frame: Frame, folder: Path) -> None:
    """Writes a learned objective with its networks in another frame.

    Raises:
        ValueError: no learned objective, or none with networks, or the folder holds an objective.
    """
    if not is_path(text):
        raise ValueError(f"{text!r} is no learned objective: name a run folder, an objective file, or discovered/NAME")
    card, objective = read_objective(located(text))
    if is_closed(card):
        raise ValueError(f"objective file {text}: is a distilled form, which has no networks to move")
    if (folder / CARD_NAME).exists():
        raise ValueError(f"--out {folder}: holds an objective, which would be lost: name another folder")
    try:
        moved = with_frame(objective, frame)
    except ValueError as error:
        raise ValueError(f"objective file {text}: {error}") from None
    told = {"source": text, "sha256": card["sha256"], "centre": frame.centre, "width": frame.width}
    provenance = card["provenance"] | {"reframed": told}
    save_objective(folder, moved, init=card["init"], temporal=card["temporal"], provenance=provenance)


def located(text: str) -> Path:
    """Where the objective file lies that a text names: a path, or `discovered/<name>` for one that comes with mpo.

    Raises:
        ValueError: no objective of that name comes with mpo.
    """
    if not text.startswith(PREFIX) or Path(text).exists():
        return Path(text)
    names = bundled_names()
    if text not in names:
        raise unknown_name("objective", text, names, where="mpo list discovered")
    return BUNDLED / text.removeprefix(PREFIX)


def bundled_names() -> list[str]:
    """The ids of the objectives that come with mpo."""
    return [f"{PREFIX}{path.parent.name}" for path in sorted(BUNDLED.glob(f"*/{CARD_NAME}"))]


def is_path(text: str) -> bool:
    """Whether an objective is given as a file or folder, or as a bundled one, rather than by the id of a loss."""
    if names_file(text):
        return True
    return text.partition(":")[0].strip() not in ("", *objective_ids()) and Path(text).is_dir()


def load_objective(text: str) -> AbstractObjective:
    """An objective from `id`, `id:name=value,...`, an objective file, or a run folder.

    Raises:
        ValueError: one sentence: what, where, what is allowed.
    """
    if is_path(text):
        return read_objective(located(text))[1]
    id, settings = parse_objective_text(text)
    return make_objective(id, **settings)


def sft_epochs_of(text: str, total: int) -> int:
    """Epochs of SFT, of `total`, before an objective: the paper's, or for a file those of the search that found it.

    Raises:
        ValueError: there is no such objective, or its card has no such number.
    """
    if not is_path(text):
        return catalogue_entry(parse_objective_text(text)[0]).sft_epochs_of(total)
    inner = read_objective(located(text))[0]["provenance"].get("inner", {})
    epochs = inner.get("sft_epochs", 0) if isinstance(inner, dict) else None
    if not isinstance(epochs, int) or not 0 <= epochs <= total:
        raise ValueError(
            f"objective file {text}: asks for {epochs!r} epochs of SFT, of {total} in all; set --sft-epochs"
        )
    return epochs
