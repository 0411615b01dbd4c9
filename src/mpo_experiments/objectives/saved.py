"""Objectives that searches found: those bundled with the package, and files of one's own, as catalogue entries.

`bundled/discovered/<name>/` holds objective.json and objective.safetensors, as a search wrote them. The id of a bundled
one is `discovered/<name>`; that of a file is its path.
"""

import functools
from pathlib import Path
from typing import Any

from adapters.storage.objective_files import read_objective
from adapters.storage.sealed import seal_of
from mpo_core.losses.catalogue import CatalogueEntry, catalogue_entry, register_saved
from mpo_core.losses.entry import PAPER_EPOCHS
from mpo_core.mirror.mirror_objective import MirrorObjective
from mpo_experiments.objectives.named import bundled_names, located
from mpo_experiments.objectives.schedule import searched_sft_epochs

FAMILY = "saved"


def bundled_entries() -> list[CatalogueEntry]:
    """The objectives that come with the package; named by the entry point `mpo.saved_objectives`."""
    return [entry_of(name, located(name)) for name in bundled_names()]


def bundled_cards() -> dict[str, dict[str, Any]]:
    """The cards of the objectives that come with the package, by id."""
    return {name: read_objective(located(name))[0] for name in bundled_names()}


def register_file(path: Path, text: str | None = None) -> str:
    """Makes an objective file or run folder known to the catalogue; returns its id, which is its path.

    Args:
        text: how a user named it, if not by its path.

    Raises:
        ValueError: missing, foreign, damaged, or of another schema version.
    """
    text = text or str(path)
    id = text if "/" in text else f"./{text}"
    register_saved(entry_of(id, path))
    return id


def entry_of(id: str, path: Path) -> CatalogueEntry:
    """The catalogue entry of an objective file.

    Raises:
        ValueError: missing, foreign, damaged, or of another schema version.
    """
    card, objective = read_objective(path)
    provenance = card["provenance"]
    return CatalogueEntry(
        id=id, factory=functools.partial(_read, path), family=FAMILY, citation=described(provenance),
        formula=f"learned, see mpo show {id}", needs_reference=objective.reference,
        length_normalised=objective.bracket == "mean", member=_member(objective),
        sft_epochs=searched_sft_epochs(id, provenance, PAPER_EPOCHS),
    )  # fmt: skip


def objective_hash(id: str) -> str | None:
    """SHA-256 of the card of a saved objective, which holds that of its tensors; None for a hand-written one."""
    if "/" not in id:
        return None
    factory = catalogue_entry(id).factory
    return seal_of(read_objective(factory.args[0])[0]) if isinstance(factory, functools.partial) else None


def described(provenance: dict[str, Any]) -> str:
    """Where a saved objective comes from, in a few words."""
    known = (provenance.get(name) for name in ("task", "data"))
    where = ", ".join(str(value) for value in known if value)
    return f"a search on {where} (this project)" if where else "a file"


def _read(path: Path) -> MirrorObjective:
    return read_objective(path)[1]


def _member(objective: MirrorObjective) -> str:
    return ("MR" if objective.reference else "M0") + ("-bar" if objective.bracket == "mean" else "")
