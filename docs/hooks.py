"""Hooks of the documentation: the reference of the command line is made from the commands themselves."""

import sys
from pathlib import Path

from mkdocs.structure.files import File

sys.path.insert(0, str(Path(__file__).parent.parent / "src"))
REPOSITORY = "https://github.com/mirror-po/mpo/blob/main"


def on_files(files, config):
    """Adds reference/cli.md."""
    files.append(File.generated(config, "reference/cli.md", content=command_reference()))
    return files


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
