"""Objectives as files: objective.json (structure, provenance) beside objective.safetensors (tensors only).

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

from adapters.files import read_bytes, read_json, write_whole
from adapters.sealed import check_version, first_fault, unsealed, write_sealed
from mpo_core.catalogue import catalogue_entry, make_objective, objective_ids, parse_objective_text
from mpo_core.mirror.learned import learned_mirror, split_learned
from mpo_core.mirror.members import as_mirror
from mpo_core.mirror.mirror_objective import MirrorObjective
from mpo_core.objective import AbstractObjective

FORMAT = "mpo-objective"
SCHEMA_VERSION = 1
CARD_NAME, TENSOR_NAME = "objective.json", "objective.safetensors"
CARD_SEAL = "card_sha256"


class _Card(pydantic.BaseModel):
    """objective.json, without its own hash."""

    model_config = pydantic.ConfigDict(extra="forbid", strict=True)

    format: Literal["mpo-objective"]
    schema_version: Literal[1]
    init: str
    temporal: bool
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


def learned_start(init: str, temporal: bool) -> MirrorObjective:
    """The learned member that a search starts from.

    Args:
        init: an objective as `id`, `id:name=value,...`, or a file that `save_objective` wrote.

    Raises:
        ValueError: not a member of the class, or not a monotone one, or a file that does not fit.
    """
    if is_path(init):
        card, objective = read_objective(Path(init))
        if card["temporal"] != temporal:
            raise ValueError(
                f"objective file {init}: was learned with --{'' if card['temporal'] else 'no-'}temporal, "
                "and a search that starts from it must be too"
            )
        return objective
    id, settings = parse_objective_text(init)
    return learned_mirror(as_mirror(id, **settings), temporal=temporal)


def save_objective(folder: Path, objective: MirrorObjective, *, init: str, temporal: bool, provenance: dict) -> None:
    """Writes a learned member into a folder.

    Args:
        init: what the search started from, as `canonical_text` gives it.
        provenance: where it comes from: task, data, seeds, versions.
    """
    tensors = _tensors(split_learned(objective)[0])
    content = safetensors.numpy.save({name: np.ascontiguousarray(value) for name, value in tensors.items()})
    card = {
        "format": FORMAT,
        "schema_version": SCHEMA_VERSION,
        "init": init,
        "temporal": temporal,
        "tensors": {name: list(value.shape) for name, value in tensors.items()},
        "sha256": hashlib.sha256(content).hexdigest(),
        "provenance": provenance,
    }
    write_whole(folder / TENSOR_NAME, content)
    write_sealed(folder / CARD_NAME, card, seal=CARD_SEAL)


def is_path(text: str) -> bool:
    """Whether an objective is given as a file or folder rather than by id."""
    if "/" in text or text.endswith((".json", ".safetensors")):
        return True
    return text.partition(":")[0].strip() not in ("", *objective_ids()) and Path(text).is_dir()


def load_objective(text: str) -> AbstractObjective:
    """An objective from `id`, `id:name=value,...`, an objective file, or a run folder.

    Raises:
        ValueError: one sentence: what, where, what is allowed.
    """
    if is_path(text):
        return read_objective(Path(text))[1]
    id, settings = parse_objective_text(text)
    return make_objective(id, **settings)


def read_objective(path: Path) -> tuple[dict[str, Any], MirrorObjective]:
    """The card and the objective in a file or run folder.

    Raises:
        ValueError: missing, foreign, damaged, or of another schema version.
    """
    card_path = path / CARD_NAME if path.is_dir() else path.with_suffix(".json")
    card = _read_card(card_path)
    return card, _filled(_template(card, card_path), card_path.with_suffix(".safetensors"), card)


def sft_epochs_of(text: str, total: int) -> int:
    """Epochs of SFT, of `total`, before an objective: the paper's, or for a file those of the search that found it.

    Raises:
        ValueError: there is no such objective, or its card has no such number.
    """
    if not is_path(text):
        return catalogue_entry(parse_objective_text(text)[0]).sft_epochs_of(total)
    inner = read_objective(Path(text))[0]["provenance"].get("inner", {})
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
    check_version(found, where, SCHEMA_VERSION)
    card = unsealed(found, where, seal=CARD_SEAL)
    try:
        return _Card.model_validate(card).model_dump()
    except pydantic.ValidationError as error:
        raise ValueError(f"{where}: is damaged ({first_fault(error)})") from None


def _template(card: dict[str, Any], path: Path) -> MirrorObjective:
    """What a card's objective was learned from."""
    try:
        id, settings = parse_objective_text(card["init"])
        return learned_mirror(as_mirror(id, **settings), temporal=card["temporal"])
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
    learned, common = split_learned(template)
    wanted = _tensors(learned)
    fits = found.keys() == wanted.keys() and all(
        found[name].shape == value.shape and found[name].dtype == value.dtype for name, value in wanted.items()
    )
    if not fits:
        raise ValueError(f"objective file {path}: its tensors do not fit an objective learned from {card['init']!r}")
    if not all(np.isfinite(value).all() for value in found.values()):
        raise ValueError(f"objective file {path}: some of its numbers are not finite")
    leaves = [jnp.asarray(found[name]) for name in wanted]
    return eqx.combine(jax.tree.unflatten(jax.tree.structure(learned), leaves), common)


def _tensors(learned: Any) -> dict[str, np.ndarray]:
    leaves, _ = jax.tree_util.tree_flatten_with_path(learned)
    return {jax.tree_util.keystr(path).lstrip("."): np.asarray(leaf) for path, leaf in leaves}
