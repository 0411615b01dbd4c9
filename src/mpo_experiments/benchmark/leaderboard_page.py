"""A benchmark as one HTML page that sorts and filters; nothing in it comes from the network."""

import json
from pathlib import Path
from typing import Any

from adapters.storage.files import write_whole

PAGE = "leaderboard.html"
PARTS = Path(__file__).parent / "page"
"""The page without its numbers: HTML, style and script."""


def write_page(folder: Path, board: dict[str, Any]) -> Path:
    """Writes the page into a benchmark's folder; returns its file."""
    write_whole(folder / PAGE, page(board).encode())
    return folder / PAGE


def page(board: dict[str, Any]) -> str:
    """The page of what `leaderboard` found."""
    numbers = json.dumps(board, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    parts = {"STYLE": _part("page.css"), "BOARD": numbers, "SCRIPT": _part("page.js")}
    text = _part("page.html")
    for name, part in parts.items():
        text = text.replace(f"/*{name}*/", part)
    return text


def _part(name: str) -> str:
    return (PARTS / name).read_text(encoding="utf-8").rstrip()
