"""Tuning objectives beside those that a file holds already: what was found before is kept, under the same conditions
alone."""

from pathlib import Path
from typing import Any

from mpo_experiments.provenance import made_elsewhere
from mpo_experiments.settings.command import read_command
from mpo_experiments.tuning.tuned import TunedCell, read_tuned

ADVICE = "name another --out, or remove it"


def tuned_before(path: Path, command: str, here: dict[str, Any]) -> TunedCell | None:
    """What a file holds, if tuning with a command may add to it; None if there is no file.

    Args:
        here: what scores follow from besides settings, as of `made_here`.

    Raises:
        ValueError: it is damaged, or its objectives were tuned otherwise or elsewhere.
    """
    if not path.is_file():
        return None
    found = read_tuned(path)
    if _but_for_objectives(found.command) != _but_for_objectives(command):
        raise ValueError(f"tuned settings {path}: were made by another command, {found.command}; {ADVICE}")
    changed = made_elsewhere(found.provenance, here)
    if changed or found.provenance.get("agents") != here["agents"]:
        raise ValueError(f"tuned settings {path}: {changed or 'were made with other agents'}; {ADVICE}")
    return found


def with_those_before(cell: TunedCell, before: TunedCell | None) -> TunedCell:
    """A cell with the objectives of another one that it does not have itself."""
    if before is None:
        return cell
    kept = {"objectives": before.objectives | cell.objectives, "ranges": before.ranges | cell.ranges}
    return cell.model_copy(update=kept)


def _but_for_objectives(command: str) -> dict[str, Any]:
    """A command's options that all its objectives share."""
    return {name: value for name, value in (read_command(command, "tune") or {}).items() if name != "objectives"}
