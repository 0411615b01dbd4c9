"""One HTML file that needs nothing else: figures are embedded, there is no script and nothing is fetched."""

import base64
import dataclasses
import html
import re
from pathlib import Path

from mpo_experiments.page_parts import policy

STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --paper: #ffffff; --soft: #5b6470; --line: #d9dde3; --wash: #f5f6f8 }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e8eb; --paper: #15181c; --soft: #9aa3ae; --line: #353b43; --wash: #1e2227 }
}
* { box-sizing: border-box }
body { margin: 0 auto; padding: 1.5rem 1rem 4rem; max-width: 66rem; background: var(--paper); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 .5rem; overflow-wrap: anywhere }
h2 { font-size: 1.15rem; margin: 2.5rem 0 .5rem; border-top: 1px solid var(--line); padding-top: 1rem }
p { max-width: 46rem; overflow-wrap: anywhere }
.formula { font-family: "STIX Two Math", Cambria, "DejaVu Serif", Georgia, serif; background: var(--wash);
  padding: .8rem 1rem; border-radius: 6px; max-width: none; overflow-x: auto }
.wide { overflow-x: auto; margin: .8rem 0 }
figure { margin: .8rem 0; overflow-x: auto; background: #ffffff; border-radius: 6px }
figure img { display: block; width: 100%; min-width: 34rem; height: auto }
table { border-collapse: collapse; font-size: .9rem }
th, td { text-align: left; vertical-align: top; padding: .3rem 1rem .3rem 0; border-bottom: 1px solid var(--line) }
th { color: var(--soft); font-weight: 600 }
td:first-child { white-space: nowrap }
code { background: var(--wash); padding: .1rem .3rem; border-radius: 4px; font-size: .92em }
.note { color: var(--soft); font-size: .9rem }
"""
POLICY = policy("img-src data:", "style-src 'unsafe-inline'")


@dataclasses.dataclass(frozen=True)
class HtmlTable:
    """Cells are plain text."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    caption: str = ""


@dataclasses.dataclass(frozen=True)
class Section:
    """A heading and, in this order, what it holds; texts are plain."""

    title: str
    texts: tuple[str, ...] = ()
    formula: str = ""
    figure: Path | None = None
    table: HtmlTable | None = None


def page(title: str, sections: list[Section]) -> str:
    """The whole page.

    Raises:
        OSError: a figure cannot be read.
    """
    body = "\n".join(_section(section, first=not place) for place, section in enumerate(sections))
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{html.escape(title)}</title>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"{POLICY}\n<style>{STYLE}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    )


def _section(section: Section, *, first: bool) -> str:
    level = "h1" if first else "h2"
    parts = [f"<{level}>{html.escape(section.title)}</{level}>"]
    if section.formula:
        parts.append(f'<p class="formula">{html.escape(section.formula)}</p>')
    parts += [f"<p>{_prose(text)}</p>" for text in section.texts]
    if section.figure is not None:
        content = base64.b64encode(section.figure.read_bytes()).decode()
        alt = html.escape(section.title, quote=True)
        parts.append(f'<figure><img alt="{alt}" src="data:image/png;base64,{content}"></figure>')
    if section.table is not None:
        parts.append(_table(section.table))
    return f"<section>\n{chr(10).join(parts)}\n</section>"


def _prose(text: str) -> str:
    """Text; what stands between backticks is code."""
    return re.sub("`([^`]+)`", r"<code>\1</code>", html.escape(text))


def _table(table: HtmlTable) -> str:
    head = "".join(f'<th scope="col">{html.escape(column)}</th>' for column in table.columns)
    lines = "".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>\n" for row in table.rows)
    caption = f'<p class="note">{html.escape(table.caption)}</p>' if table.caption else ""
    return f'<div class="wide"><table>\n<tr>{head}</tr>\n{lines}</table></div>{caption}'
