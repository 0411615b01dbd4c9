"""Settings in groups, as a nested dictionary: one over another, less another, by their dotted names."""

from typing import Any

import yaml

from mpo_core.names import shortened

DEEPEST = 8
"""Dots in a setting's name, at most."""


def parse_override(text: str) -> dict[str, Any]:
    """`search.generations=80` as nested settings; the value is read as YAML.

    Raises:
        ValueError: no '=' in it, or not readable.
    """
    name, equals, value = text.partition("=")
    parts, shown = name.split("."), shortened(text)
    if not equals or not all(parts):
        raise ValueError(f"--set {shown!r}: write it as NAME=VALUE, such as search.generations=80")
    if parts[0] == "provenance" or len(parts) > DEEPEST:
        raise ValueError(f"--set {shown!r}: {shortened(name)!r} is no setting")
    try:
        nested: Any = yaml.safe_load(value)
    except (ValueError, RecursionError, TypeError, yaml.YAMLError):
        raise ValueError(f"--set {shown!r}: the value cannot be read") from None
    for part in reversed(parts):
        nested = {part: nested}
    return nested


def leaves(settings: dict[Any, Any], prefix: str = "") -> list[str]:
    """The names of all settings in nested groups, such as "rows.length"; an empty group by its own name."""
    found: list[str] = []
    for name, value in settings.items():
        path = f"{prefix}{name}"
        found += leaves(value, f"{path}.") if isinstance(value, dict) and value else [path]
    return found


def check_said_once(given: dict[str, Any], overrides: list[dict[str, Any]]) -> None:
    """Refuses a --set of what an option of the command line says as well.

    Args:
        given: by the options that were given.

    Raises:
        ValueError: one sentence: which.
    """
    for name in leaves(given):
        if any(_holds(layer, name.split(".")) for layer in overrides):
            raise ValueError(f"--set {name}: an option of the command line says it already: give one of the two")


def _holds(settings: Any, path: list[str]) -> bool:
    """Whether nested settings, of whatever a user wrote, have a value there."""
    for part in path:
        if not isinstance(settings, dict) or part not in settings:
            return False
        settings = settings[part]
    return True


def truths_for_others(given: dict[Any, Any], taken: dict[Any, Any], prefix: str = "") -> list[str]:
    """The names of settings that were given as true or false, and are taken as something else: as 1 or 0."""
    found: list[str] = []
    for name, value in given.items():
        own = taken.get(name)
        if isinstance(value, dict) and isinstance(own, dict):
            found += truths_for_others(value, own, f"{prefix}{name}.")
        elif isinstance(value, bool) and not isinstance(own, bool):
            found.append(f"{prefix}{name}")
    return found


def without(settings: dict[Any, Any], given: dict[Any, Any]) -> dict[Any, Any]:
    """Settings less those that are given, group by group."""
    kept: dict[Any, Any] = {}
    for name, value in settings.items():
        if name not in given:
            kept[name] = value
        elif isinstance(value, dict) and isinstance(given[name], dict):
            rest = without(value, given[name])
            if rest:
                kept[name] = rest
    return kept


def merged(base: dict[Any, Any], over: dict[Any, Any]) -> dict[Any, Any]:
    """One over the other, group by group; names may be anything that YAML has, and are checked with the values."""
    found = dict(base)
    for name, value in over.items():
        both = isinstance(value, dict) and isinstance(found.get(name), dict)
        found[name] = merged(found[name], value) if both else value
    return found
