"""What a comparison prints once it has written its files."""

from collections.abc import Iterable
from pathlib import Path

from rich.console import Console

from cli.display import rich_table
from mpo_experiments.scale import SCALE, UNIT
from mpo_experiments.text_table import TextTable


def print_results(screen: Console, tables: Iterable[TextTable | None], again: str, paths: list[Path]) -> None:
    """Tables, the command that repeats the comparison, and the files that it left."""
    for table in filter(None, tables):
        screen.print(rich_table(table))
        screen.print()
    screen.print(f"Scores: {SCALE}; {UNIT}.", markup=False)
    screen.print(again, soft_wrap=True, markup=False)
    for path in paths:
        screen.print(f"Written to {path}", soft_wrap=True, markup=False)
