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

from adapters.storage.closed_card import SCHEMA_VERSION as CLOSED_VERSION, ClosedCard, closed_card, closed_objective
from adapters.storage.files import read_bytes, read_json, write_whole
from adapters.storage.objective_paths import CARD_NAME, TENSOR_NAME, card_path
from adapters.storage.sealed import check_version, first_fault, unsealed, write_sealed
from mpo_core.losses.named_loss import parse_loss
from mpo_core.mirror.learned import learned_mirror, split_start, with_reference
from mpo_core.mirror.mirror_objective import MirrorObjective
from mpo_core.names import shortened

FORMAT = "mpo-objective"
SCHEMA_VERSION = 2
CARD_SEAL = "card_sha256"


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


def save_objective(folder: Path, objective: MirrorObjective, *, init: str, temporal: bool, provenance: dict) -> None:
    """Writes a learned member into a folder.

    Args:
        init: the loss that the search started from, spelled out. The card says whether there is a reference policy
            only where that is not as this loss has it.
        provenance: where it comes from: task, data, seeds, versions.
    """
    tensors = _tensors(split_start(objective)[0])
    content = safetensors.numpy.save({name: np.array(value, np.float32, order="C") for name, value in tensors.items()})
    own = parse_loss(init).mirror().reference
    chosen = {} if objective.reference == own else {"reference": objective.reference}
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
        start = learned_mirror(parse_loss(card["init"]).mirror(), temporal=card["temporal"])
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
