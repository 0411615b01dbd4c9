"""Sizes of everything under a name: smoke, quick and paper, and what they change for a task."""

from typing import Any

from mpo_experiments.settings.listed import split_tasks
from mpo_experiments.settings.nested import merged, without
from mpo_experiments.tasks.registry import TASKS, base_name

PRESETS: dict[str, dict[str, Any]] = {
    "smoke": {
        "rows": {"count": 8, "length": 50},
        "inner": {"epochs": 2},
        "search": {"generations": 2, "bank_pairs": 16, "episodes": 1, "horizon": 50},
        "strategy": {"population": 4},
        "report": {"units": 2, "evaluation": {"episodes": 1, "horizon": 50}},
    },
    "quick": {
        "rows": {"count": 128, "length": 200},
        "search": {
            "generations": 24,
            "datasets": 4,
            "spread": True,
            "bank_pairs": 512,
            "episodes": 4,
            "horizon": 250,
        },
        "strategy": {"population": 32},
        "report": {"units": 12},
    },
    "paper": {
        "rows": {"count": 1280, "length": 1000},
        "search": {"generations": 256, "bank_pairs": 1280, "bank_refresh": 1, "episodes": 4, "horizon": 1000},
        "strategy": {"population": 256},
        "report": {"units": 20},
    },
}


def _words(episodes: tuple[int, int], rows: dict[str, int] | None = None) -> dict[str, Any]:
    """Of tasks of words: a review has 40 tokens at most, and costs so little that a policy writes more of them.

    Args:
        episodes: of a policy in the search, and in the report.
    """
    return {
        "rows": {"length": 40} | (rows or {}),
        "search": {"episodes": episodes[0], "horizon": 40},
        "report": {"evaluation": {"episodes": episodes[1], "horizon": 40}},
    }


WORDS: dict[str, dict[str, Any]] = {
    "smoke": _words((2, 2)),
    "quick": merged(
        _words((16, 64), {"count": 512}),
        {"inner": {"epochs": 3, "learning_rate": 3e-4}, "search": {"bank_pairs": 2048}},
    ),
    "paper": _words((16, 64)),
}
"""Few epochs over many rows, as is usual for language models: as many updates as with 128 rows and 12 epochs."""
FALLERS = ("hopper", "walker2d")
"""Tasks whose original agent falls after some 230 and 280 steps: shorter data would show no difference between the
agents."""
TASK_PRESETS: dict[tuple[str, str], dict[str, Any]] = {
    (preset, task): change
    for task in FALLERS
    for preset, change in (
        ("smoke", {
            "rows": {"length": 300}, "search": {"horizon": 350}, "report": {"evaluation": {"horizon": 350}},
        }),
        ("quick", {"rows": {"length": 400}, "search": {"horizon": 500}}),
    )
}  # fmt: skip
"""What a preset changes for a task."""


def preset_settings(preset: str, given: dict[str, Any]) -> dict[str, Any]:
    """What a preset says; under `per_task` what it changes for the tasks that are given, but for what is given."""
    tasks = split_tasks(given.get("task"))
    names = [name.strip() for name in tasks if isinstance(name, str)] if isinstance(tasks, list | tuple) else []
    changes = {name: without(change, given) for name in names if (change := task_preset(preset, name))}
    kept = {name: change for name, change in changes.items() if change}
    return PRESETS[preset] | ({"per_task": kept} if kept else {})


def task_preset(preset: str, task: str) -> dict[str, Any]:
    """What a preset changes for a task, or for all tasks of words; a name that is none is refused elsewhere."""
    base = base_name(task)
    if base in TASKS and TASKS[base].of_words:
        return WORDS[preset]
    return TASK_PRESETS.get((preset, base), {})
