"""Hooks of the documentation: the reference of the command line is made from the code; no link of the site is dead."""

import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

from mkdocs.plugins import get_plugin_logger
from mkdocs.structure.files import File

sys.path.insert(0, str(Path(__file__).parent.parent / "src"))
log = get_plugin_logger(__name__)


def on_files(files, config):
    """Adds reference/cli.md."""
    files.append(File.generated(config, "reference/cli.md", content=command_reference()))
    return files


def on_post_build(config):
    """Warns of links to files that the site does not have: MkDocs itself lets links to excluded ones pass."""
    site = Path(config.site_dir)
    for page in sorted(site.rglob("*.html")):
        for link in _local_links(page):
            target = site / link.lstrip("/") if link.startswith("/") else page.parent / link
            if not (target.is_file() or (target / "index.html").is_file()):
                log.warning("%s: dead link %s", page.relative_to(site), link)


def _local_links(page: Path) -> set[str]:
    found = _Links()
    found.feed(page.read_text(encoding="utf-8"))
    parts = [urlsplit(link) for link in found.links]
    return {unquote(part.path) for part in parts if part.path and not part.scheme and not part.netloc}


class _Links(HTMLParser):
    """Where a page leads, and what it loads."""

    def __init__(self):
        super().__init__()
        self.links: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.links += [value for name, value in attrs if name in ("href", "src") and value]


def command_reference() -> str:
    """Every command with its options, as Markdown."""
    import typer.main

    from cli.app import app

    parts = ["# Command line\n", "Made from the code. `mpo COMMAND --help` shows the same.\n"]
    for name, command in sorted(typer.main.get_command(app).commands.items()):
        parts += _of(f"mpo {name}", command)
    return "\n".join(parts)


def _of(name: str, command) -> list[str]:
    inner = getattr(command, "commands", {})
    lines = [f"## {name}\n", f"{(command.help or '').strip()}\n"]
    rows = [_row(one) for one in command.params if one.name not in ("help", "install_completion", "show_completion")]
    if rows:
        lines += ["| option | takes | default | what |", "|---|---|---|---|", *rows, ""]
    for child, found in sorted(inner.items()):
        lines += _of(f"{name} {child}", found)
    return lines


def _row(one) -> str:
    option = one.param_type_name == "option"
    names = ", ".join(f"`{text}`" for text in [*one.opts, *one.secondary_opts]) if option else f"`{one.name.upper()}`"
    plain = isinstance(one.default, str | int | float | Path) and not isinstance(one.default, bool)
    default = f"`{one.default}`" if plain else ("required" if one.required else "")
    help_ = (getattr(one, "help", None) or "").replace("|", "\\|").replace("<", "&lt;").replace("[", "\\[")
    kind = getattr(getattr(one, "type", None), "name", "text")
    return f"| {names} | {kind} | {default} | {help_} |"
