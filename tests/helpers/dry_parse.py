"""Commands read as the command line reads them, without running anything."""

from typing import Any

import typer.main

from adapters.evosax.entries import strategy_names
from cli.app import app
from cli.completion import OWN_PRESETS
from mpo_core.data.specification import parse_data_spec
from mpo_core.losses.catalogue import parse_objective_text
from mpo_experiments.objectives.named import ALL, DISCOVERED
from mpo_experiments.objectives.saved import bundled_entries
from mpo_experiments.settings.presets import PRESETS
from mpo_experiments.tasks.registry import task_spec

UNKNOWN_HERE = {
    "reach",
    "glide",
    "square_hinge",
    "mean_hinge",
    "mirrored_snes",
    "lm_ma_es",
    "noisy_second",
    "noisy_poor",
}
"""Of the worked examples, which their pages register."""


def leaf_of(words: list[str]) -> tuple[Any, list[str], Any]:
    """The command that words call, the words that are left for it, and the context of what is above it.

    Raises:
        ValueError: there is no such command.
    """
    command: Any = typer.main.get_command(app)
    context = command.make_context("mpo", [], resilient_parsing=True)
    rest = list(words[1:])
    while rest and hasattr(command, "commands"):
        found = command.get_command(context, rest[0])
        if found is None:
            if not getattr(command, "invoke_without_command", False):
                raise ValueError(f"there is no command {rest[0]!r} in {' '.join(words)!r}")
            break
        command, context = found, found.make_context(rest[0], [], parent=context, resilient_parsing=True)
        rest = rest[1:]
    return command, rest, context.parent


def parsed(words: list[str]) -> dict[str, Any]:
    """The parameters of a command, as its function would get them.

    Raises:
        click's UsageError: an option that there is not, one that is missing, or a value of the wrong kind.
        ValueError: a command, task, objective, strategy, preset or kind of data that there is not.
    """
    command, rest, above = leaf_of(words)
    given = command.make_context(command.name, rest, parent=above).params
    for name, check in _CHECKS.items():
        for text in _texts(given.get(name)):
            if not UNKNOWN_HERE & set(text.replace(":", " ").replace("+", " ").split()):
                check(text)
    preset = given.get("preset")
    if preset is not None and preset not in OWN_PRESETS.get(command.name, PRESETS):
        raise ValueError(f"there is no preset {preset!r} of {command.name}")
    return given


def check_options(words: list[str]) -> None:
    """That a command that is only mentioned, in part or with a placeholder, is there and has these options.

    Raises:
        ValueError: it is not, or has not.
    """
    command, rest, _ = leaf_of(words)
    known = {name for one in command.params for name in (*one.opts, *one.secondary_opts)} | {"--help"}
    for word in rest:
        if word.startswith("--") and word not in known:
            raise ValueError(f"{command.name} has no option {word}")


def _texts(value: Any) -> list[str]:
    joined = value if isinstance(value, list | tuple) else [] if value is None else [value]
    return [part for text in joined if isinstance(text, str) for part in _apart(text)]


def _apart(text: str) -> list[str]:
    """At commas, but not at those between the settings of one objective or the shares of one kind of data."""
    parts: list[str] = []
    for part in text.split(","):
        if parts and "=" in part and ":" not in part:
            parts[-1] += f",{part}"
        else:
            parts.append(part)
    return parts


def _check_strategy(name: str) -> None:
    if name not in strategy_names():
        raise ValueError(f"there is no strategy {name!r}")


def _check_objective(text: str) -> None:
    if text.startswith("discovered/"):
        if text not in {entry.id for entry in bundled_entries()}:
            raise ValueError(f"there is no objective {text!r}")
    elif "/" not in text and "." not in text.partition(":")[0] and text not in ("OBJECTIVE", "moved", ALL, DISCOVERED):
        parse_objective_text(text)


_CHECKS = {
    "task": task_spec, "data": parse_data_spec, "objectives": _check_objective, "objective": _check_objective,
    "init": _check_objective, "what": _check_objective, "strategy": _check_strategy,
}  # fmt: skip
