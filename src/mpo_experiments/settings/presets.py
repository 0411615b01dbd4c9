"""Sizes of everything under a name: smoke, quick and paper, and what they change for a task."""

from typing import Any

from mpo_experiments.settings.nested import merged, without

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
TASK_PRESETS: dict[tuple[str, str], dict[str, Any]] = {
    # the original hopper falls after some 230 steps: shorter data would show no difference between the agents
    ("smoke", "hopper"): {
        "rows": {"length": 300},
        "search": {"horizon": 350},
        "report": {"evaluation": {"horizon": 350}},
    },
    ("quick", "hopper"): {"rows": {"length": 400}, "search": {"horizon": 500}},
}
"""What a preset changes for a task."""


def preset_settings(preset: str, given: dict[str, Any]) -> dict[str, Any]:
    """What a preset says, with what it changes for the tasks that are given."""
    task = given.get("task")
    names = [name.strip() for name in task.split(",")] if isinstance(task, str) else []
    changes = {name: TASK_PRESETS[preset, name] for name in names if (preset, name) in TASK_PRESETS}
    base = PRESETS[preset]
    if len(names) == 1:
        return merged(base, changes.get(names[0], {}))
    per_task = {name: without(change, given) for name, change in changes.items()}
    kept = {name: change for name, change in per_task.items() if change}
    return base | ({"per_task": kept} if kept else {})
