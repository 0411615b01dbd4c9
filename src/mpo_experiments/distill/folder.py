"""What `mpo distill` leaves: the closed form as an objective file, as text, LaTeX and Python, its errors, a figure."""

import dataclasses
from pathlib import Path
from typing import Any

from adapters.storage.files import read_json, write_json, write_whole
from adapters.storage.objective_files import save_closed
from adapters.storage.objective_paths import CARD_NAME
from mpo_core.mirror.distillation import MAP_NAMES, DistillErrors
from mpo_core.mirror.mirror_objective import MirrorObjective
from mpo_core.mirror.realised import Realised
from mpo_experiments.distill.closed_text import latex_text, plain_text, python_module
from mpo_experiments.distill.figure import draw_distilled
from mpo_experiments.text_table import TextTable

SCORE = "score.json"
"""Of the closed form that `--score` was given for."""
FILES = (CARD_NAME, "formula.txt", "formula.tex", "objective.py", "distill.json", "maps.png")


def default_folder(text: str) -> Path:
    """Where the closed form of an objective goes: here; into a run's folder only where `--out` says so."""
    path = Path(text)
    if not path.exists():
        return Path(f"distilled-{text.replace('/', '-')}")
    folder = path if path.is_dir() else path.parent
    return Path(f"distilled-{folder.resolve().name}")


def check_nothing_lost(folder: Path, sha256: str) -> None:
    """Refuses to write over a learned objective, or over the closed form of another one.

    Args:
        sha256: of the objective that is distilled.

    Raises:
        ValueError: the folder holds one.
    """
    path = folder / CARD_NAME
    card = read_json(path, "objective file") if path.exists() else None
    if card is not None and card.get("kind") != "closed":
        raise ValueError(f"--out {folder}: holds a learned objective, which would be lost: name another folder")
    if card is not None and card["provenance"].get("distilled_from", {}).get("sha256") != sha256:
        raise ValueError(f"--out {folder}: holds the closed form of another objective: name another folder")


def provenance_of(card: dict[str, Any], source: str, told: dict[str, Any]) -> dict[str, Any]:
    """Where a closed form comes from: its original's card, and how it was fitted.

    Args:
        card: of the original.
        source: the objective as the user named it.
        told: settings, samples and errors of the fit.
    """
    original = card["provenance"]
    kept = {
        name: original[name] for name in ("task", "data", "preset", "rows", "inner", "bin_width") if name in original
    }
    of = {"source": source, "init": card["init"], "temporal": card["temporal"], "sha256": card["sha256"]}
    return kept | {"distilled_from": of | {"provenance": original}, "fit": told}


def write_distilled(
    folder: Path,
    original: MirrorObjective,
    closed: MirrorObjective,
    samples: Realised,
    provenance: dict[str, Any],
) -> str:
    """Writes `FILES`, and removes the score of an earlier closed form; returns the formula as text.

    Args:
        samples: those of the figure.
        provenance: goes into the card, and with it into every export.
    """
    (folder / SCORE).unlink(missing_ok=True)
    card = save_closed(folder, closed, provenance)
    text = plain_text(card)
    for name, content in zip(FILES[1:4], (text, latex_text(card), python_module(card)), strict=True):
        write_whole(folder / name, content.encode())
    write_json(folder / FILES[4], {"maps": card.maps.model_dump(mode="json")} | provenance)
    draw_distilled(folder / FILES[5], original, closed, samples, _title(provenance, len(samples)))
    return text


def _title(provenance: dict[str, Any], samples: int) -> str:
    known = [str(provenance[name]) for name in ("task", "data") if provenance.get(name)]
    of = provenance.get("distilled_from", {}).get("source", "objective")
    return ", ".join([f"Closed form of {of}", *known, f"n = {samples} samples that the fit did not see"])


def errors_table(closed: MirrorObjective, errors: DistillErrors) -> TextTable:
    """A line a map, then the gradient of the whole loss."""
    rows = [
        (
            name,
            f"{len(getattr(closed, name).terms)}",
            f"{errors.maps[name].relative_rms:.2%}",
            f"{errors.maps[name].sup:.2%}",
        )
        for name in MAP_NAMES
    ]
    worst = max(errors.gradient_by_part)
    rows.append(("gradient", f"{sum(int(row[1]) for row in rows)}", f"{errors.gradient:.2%}", f"{worst:.2%}"))
    caption = (
        "on samples that the fit did not see; of a map: root mean square error as a share of the map's own, weighted "
        "as the gradient uses it, and largest error as a share of the map's range; of the gradient of the loss: "
        f"relative RMS, and that in its worst tenth of training (mean cosine {errors.alignment:.4f})"
    )
    return TextTable("Closed form against original", ("", "terms", "relative RMS", "largest"), tuple(rows), caption)


def errors_json(errors: DistillErrors) -> dict[str, Any]:
    """The errors as JSON values."""
    return dataclasses.asdict(errors) | {"gradient_by_part": list(errors.gradient_by_part)}
