"""Objectives as files. A learned one is objective.json (structure, provenance) beside objective.safetensors (tensors
only); a distilled one is objective.json alone, of kind "closed", with its terms in it.

Nothing unpickles; names, shapes, types, numbers and the hashes of tensors and card are checked before use. Cards that
were written before they had a hash of their own are read as well.
"""

import hashlib
from pathlib import Path
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pydantic
import safetensors
import safetensors.numpy

from adapters.distill.closed_card import SCHEMA_VERSION as CLOSED_VERSION, ClosedCard, closed_card, closed_objective
from adapters.files import read_bytes, read_json, write_whole
from adapters.objective_paths import CARD_NAME, PREFIX, TENSOR_NAME, card_path, names_file
from adapters.sealed import check_version, first_fault, unsealed, write_sealed
from mpo_core.catalogue import catalogue_entry, make_objective, objective_ids, parse_objective_text
from mpo_core.mirror.learned import learned_mirror, split_start, with_frame, with_reference, with_time
from mpo_core.mirror.members import as_mirror
from mpo_core.mirror.mirror_objective import MirrorObjective
from mpo_core.mirror.monotone_network import UNIT_FRAME, Frame
from mpo_core.names import shortened, unknown_name
from mpo_core.objective import AbstractObjective

FORMAT = "mpo-objective"
SCHEMA_VERSION = 2
CARD_SEAL = "card_sha256"
BUNDLED = Path(__file__).parent / "bundled" / "discovered"


class _Card(pydantic.BaseModel):
    """objective.json, without its own hash."""

    model_config = pydantic.ConfigDict(extra="forbid", strict=True)

    format: Literal["mpo-objective"]
    schema_version: Literal[2]
    init: str
    temporal: bool
    reference: bool | None = None
    """Whether there is a reference policy, where that was chosen apart from `init`."""
    tensors: dict[str, list[int]]
    sha256: str
    """Of the tensors' file."""
    provenance: dict[str, Any]


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


def save_objective(folder: Path, objective: MirrorObjective, *, init: str, temporal: bool, provenance: dict) -> None:
    """Writes a learned member into a folder.

    Args:
        init: what the search started from, as `canonical_text` gives it. The card says whether there is a reference
            policy only where that is not as this text has it.
        provenance: where it comes from: task, data, seeds, versions.
    """
    tensors = _tensors(split_start(objective)[0])
    content = safetensors.numpy.save({name: np.array(value, np.float32, order="C") for name, value in tensors.items()})
    id, settings = parse_objective_text(init)
    chosen = {} if objective.reference == as_mirror(id, **settings).reference else {"reference": objective.reference}
    card = {
        "format": FORMAT,
        "schema_version": SCHEMA_VERSION,
        "init": init,
        "temporal": temporal,
        **chosen,
        "tensors": {name: list(value.shape) for name, value in tensors.items()},
        "sha256": hashlib.sha256(content).hexdigest(),
        "provenance": provenance,
    }
    write_whole(folder / TENSOR_NAME, content)
    write_sealed(folder / CARD_NAME, card, seal=CARD_SEAL)


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


def save_closed(folder: Path, objective: MirrorObjective, provenance: dict[str, Any]) -> ClosedCard:
    """Writes a member whose maps are sums of terms into a folder; returns its card."""
    card = closed_card(objective, provenance)
    write_sealed(folder / CARD_NAME, card.model_dump(mode="json"), seal=CARD_SEAL)
    return card


def is_closed(card: dict[str, Any]) -> bool:
    """Whether a card is of a distilled form rather than of a learned objective."""
    return card.get("kind") == "closed"


def told_of(card: dict[str, Any]) -> dict[str, Any]:
    """What an objective file is, for whoever reads an export of it: what it came from and by which hash."""
    if is_closed(card):
        told = {"objective": "a closed form distilled from a learned objective"}
    else:
        told = {"objective": f"learned from {card['init']}", "sha256": card["sha256"]}
    return told | {"temporal": card["temporal"], "provenance": card["provenance"]}


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


def read_objective(path: Path) -> tuple[dict[str, Any], MirrorObjective]:
    """The card and the objective in a file or run folder.

    Raises:
        ValueError: missing, foreign, damaged, or of another schema version.
    """
    where = card_path(path)
    card = _read_card(where)
    if is_closed(card):
        return card, closed_objective(ClosedCard.model_validate(card))
    return card, _filled(_template(card, where), where.with_suffix(".safetensors"), card)


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


def _read_card(path: Path) -> dict[str, Any]:
    found, where = read_json(path, "objective file"), f"objective file {path}"
    if found.get("format") != FORMAT:
        raise ValueError(f'{where}: is not an mpo objective (no "format": "{FORMAT}")')
    kind = found.get("kind", "learned")
    if kind not in ("learned", "closed"):
        raise ValueError(f"{where}: has kind {shortened(str(kind))!r}, this mpo reads 'learned' and 'closed'")
    check_version(found, where, CLOSED_VERSION if kind == "closed" else SCHEMA_VERSION)
    card = unsealed(found, where, seal=CARD_SEAL)
    try:
        return (ClosedCard if kind == "closed" else _Card).model_validate(card).model_dump()
    except pydantic.ValidationError as error:
        raise ValueError(f"{where}: is damaged ({first_fault(error)})") from None


def _template(card: dict[str, Any], path: Path) -> MirrorObjective:
    """What a card's objective was learned from."""
    try:
        id, settings = parse_objective_text(card["init"])
        start = learned_mirror(as_mirror(id, **settings), temporal=card["temporal"])
        return with_reference(start, card["reference"])
    except ValueError as error:
        raise ValueError(f"objective file {path}: cannot be read by this mpo: {error}") from None


def _filled(template: MirrorObjective, path: Path, card: dict[str, Any]) -> MirrorObjective:
    content = read_bytes(path, "objective file")
    if hashlib.sha256(content).hexdigest() != card["sha256"]:
        raise ValueError(f"objective file {path}: does not match the hash in {path.with_suffix('.json').name}")
    try:
        found = safetensors.numpy.load(content)
    except Exception:  # of its own kind where the header is wrong, KeyError or TypeError where a type is foreign
        raise ValueError(f"objective file {path}: is not a safetensors file") from None
    learned, common = split_start(template)
    wanted = _tensors(learned)
    fits = found.keys() == wanted.keys() and all(
        found[name].shape == value.shape and found[name].dtype == np.float32 for name, value in wanted.items()
    )
    if not fits:
        raise ValueError(f"objective file {path}: its tensors do not fit an objective learned from {card['init']!r}")
    if not all(np.isfinite(value).all() for value in found.values()):
        raise ValueError(f"objective file {path}: some of its numbers are not finite")
    if not all(value > 0 for name, value in found.items() if name.endswith((".width", ".scale"))):
        raise ValueError(f"objective file {path}: the width or scale of a network is not positive")
    leaves = [jnp.asarray(found[name], value.dtype) for name, value in wanted.items()]  # float64 where JAX has it on
    return eqx.combine(jax.tree.unflatten(jax.tree.structure(learned), leaves), common)


def _tensors(learned: Any) -> dict[str, np.ndarray]:
    leaves, _ = jax.tree_util.tree_flatten_with_path(learned)
    return {jax.tree_util.keystr(path).lstrip("."): np.asarray(leaf) for path, leaf in leaves}
