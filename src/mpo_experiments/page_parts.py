"""One HTML page of a page's parts and its data; nothing in it comes from the network."""

import html
import json
from pathlib import Path
from typing import Any


def policy(*allowed: str) -> str:
    """The tag that has a browser refuse all that a page does not bring itself, but for these kinds."""
    content = "; ".join(("default-src 'none'", *allowed))
    return f'<meta http-equiv="Content-Security-Policy" content="{content}">'


POLICY = policy("style-src 'unsafe-inline'", "script-src 'unsafe-inline'")
"""Of a page of parts: it loads nothing, and runs and shows what stands in it alone."""


def one_page(parts: Path, data: Any, title: str = "") -> str:
    """A page that needs no other file.

    Args:
        parts: a folder with page.html, page.css and page.js, in which `/*STYLE*/`, `/*SCRIPT*/`, `/*DATA*/`,
            `<!--TITLE-->` and `<!--POLICY-->` stand for the rest.
        data: as JSON; no part of it can end the script that holds it.

    Raises:
        ValueError: the data hold a number that is not finite.
    """
    text = _part(parts, "html").replace("<!--POLICY-->", POLICY)
    for name, kind in (("STYLE", "css"), ("SCRIPT", "js")):
        text = text.replace(f"/*{name}*/", _part(parts, kind))
    numbers = json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    return text.replace("<!--TITLE-->", html.escape(title, quote=False)).replace("/*DATA*/", numbers)


def _part(parts: Path, kind: str) -> str:
    return (parts / f"page.{kind}").read_text(encoding="utf-8").rstrip()
