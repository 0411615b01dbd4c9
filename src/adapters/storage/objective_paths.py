"""How objective files are named; needs no JAX, so that a command line can refuse one that is not there at once."""

from pathlib import Path

CARD_NAME, TENSOR_NAME = "objective.json", "objective.safetensors"
PREFIX = "discovered/"
"""Of the ids of objectives that come with mpo: `discovered/<name>` lies in the folder `<name>` of those."""


def names_file(text: str) -> bool:
    """Whether a text can only be a file, a folder or a bundled objective: no id of a loss looks like it."""
    return "/" in text or text.endswith((".json", ".safetensors"))


def card_path(path: Path) -> Path:
    """The card of an objective, given its folder or either of its files."""
    is_file = path.suffix in (".json", ".safetensors") and not path.is_dir()
    return path.with_suffix(".json") if is_file else path / CARD_NAME
