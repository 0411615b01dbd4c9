"""Tuned settings that are there are not written over but by the command that made them: objectives are tuned beside
each other, with as many rounds for all, so that none is added either."""

from pathlib import Path
from typing import Any

from mpo_experiments.provenance import made_elsewhere
from mpo_experiments.settings.command import read_command
from mpo_experiments.tuning.tuned import read_tuned

ADVICE = "name another --out, or remove it"


def check_written_before(path: Path, command: str, here: dict[str, Any]) -> None:
    """Refuses to tune into a file that another command, or the same one elsewhere, made.

    Args:
        here: what scores follow from besides settings, as of `made_here`.

    Raises:
        ValueError: it holds such settings, or is damaged.
    """
    if not path.is_file():
        return
    found = read_tuned(path)
    if read_command(found.command, "tune") != read_command(command, "tune"):
        raise ValueError(f"tuned settings {path}: were made by another command, {found.command}; {ADVICE}")
    changed = made_elsewhere(found.provenance, here)
    if changed or found.provenance.get("agents") != here["agents"]:
        raise ValueError(f"tuned settings {path}: {changed or 'were made with other agents'}; {ADVICE}")
