"""The commands and code blocks of README.md and docs, and what is marked as not run.

A block is run by a test unless the line above it is `<!-- not run: REASON -->`. So is a command in a table unless its
page has a line `<!-- not run "COMMAND": REASON -->`, where COMMAND is how it begins.
"""

import dataclasses
import re
import shlex
from pathlib import Path

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^( *)```(\w*)[^\n]*\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
MARK = re.compile(r"<!-- not run: (\S[^>]*) -->\n*\Z")
EXCUSE = re.compile(r'<!-- not run "(mpo [^"]+)": (\S[^>]*) -->')
INLINE = re.compile(r"`(mpo [a-z][^`]*)`")


@dataclasses.dataclass(frozen=True)
class Block:
    """A fenced block: its page, first line, language, text, and why it is not run (empty: it is)."""

    page: str
    line: int
    kind: str
    text: str
    reason: str

    @property
    def name(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def commands(self) -> list[list[str]]:
        """Its shell commands as words; of a transcript, the lines behind `$ `. Without comments."""
        text = self.text.replace("\\\n", " ")
        lines = text.splitlines()
        if self.kind == "console":
            lines = [line[2:] for line in lines if line.startswith("$ ")]
        if self.kind == "text":
            lines = [line for line in lines if line.startswith("mpo ")]
        parts = (part for line in lines for part in line.split(" && "))
        return [words for part in parts if (words := shlex.split(part, comments=True))]


def pages() -> list[str]:
    """README.md and all pages of docs but those of results, from the root of the checkout."""
    found = [path for path in (ROOT / "docs").rglob("*.md") if (ROOT / "docs" / "results") not in path.parents]
    return [str(path.relative_to(ROOT)) for path in (ROOT / "README.md", *sorted(found))]


def text_of(page: str) -> str:
    return (ROOT / page).read_text()


def blocks(page: str) -> list[Block]:
    """All fenced blocks of a page, in their order."""
    text = text_of(page)
    return [
        Block(page, text[: found.start()].count("\n") + 1, found[2], found[3], _reason(text[: found.start()]))
        for found in BLOCK.finditer(text)
    ]


def _reason(before: str) -> str:
    found = MARK.search(before)
    return found[1] if found else ""


def outside_blocks(page: str) -> str:
    """The text of a page without its fenced blocks and comments."""
    return re.sub(r"<!--.*?-->", "", BLOCK.sub("", text_of(page)), flags=re.DOTALL)


def inline_commands(page: str) -> list[str]:
    """Commands in the prose and in the tables of a page."""
    return [" ".join(found.split()) for found in INLINE.findall(outside_blocks(page))]


def table_commands(page: str) -> list[str]:
    """Those in tables with a column "you run"."""
    tables = re.findall(r"^\|.*\byou run\b.*\n((?:\|.*\n)+)", outside_blocks(page), re.MULTILINE)
    return [found for table in tables for found in INLINE.findall(table)]


def excuses(page: str) -> dict[str, str]:
    """How commands in tables begin that are not run, and why."""
    return dict(EXCUSE.findall(text_of(page)))
