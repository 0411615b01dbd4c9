"""A film as a file: one HTML page that needs no network, or an animated GIF."""

from pathlib import Path

from adapters.storage.files import write_whole
from mpo_experiments.film.gif import gif_bytes
from mpo_experiments.film.html_page import html_page
from mpo_experiments.film.rollout import Film


def write_film(path: Path, film: Film) -> None:
    """Writes a film in the form that the suffix of its file names."""
    content = gif_bytes(film) if path.suffix == ".gif" else html_page(film).encode()
    write_whole(path, content)
