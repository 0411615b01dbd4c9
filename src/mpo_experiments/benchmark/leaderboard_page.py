"""A benchmark as one HTML page that sorts and filters; nothing in it comes from the network."""

from pathlib import Path
from typing import Any

from adapters.storage.files import write_whole
from mpo_experiments.page_parts import one_page

PAGE = "leaderboard.html"
PARTS = Path(__file__).parent / "page"
"""The page without its numbers: HTML, style and script."""


def write_page(folder: Path, board: dict[str, Any]) -> Path:
    """Writes the page into a benchmark's folder; returns its file."""
    write_whole(folder / PAGE, page(board).encode())
    return folder / PAGE


def page(board: dict[str, Any]) -> str:
    """The page of what `leaderboard` found."""
    return one_page(PARTS, board)
