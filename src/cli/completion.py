"""What a shell completes behind `--task`, `--objective` and their like; imports no JAX: a tab is answered at once."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

SHARES = {"noisy": "0.2", "mixed": "0.75", "judge": "1"}
"""A number that makes a term of data whole."""
OWN_PRESETS = {"align": ("default", "paper-llm"), "transfer": ("quick", "smoke", "large")}
"""Of commands whose presets are not those of searches."""


def complete_values(command: Any) -> None:
    """Gives the options of a command the values they are completed with."""
    for parameter in command.params:
        values = _VALUES.get(parameter.name)
        if parameter.name == "preset" and command.name in OWN_PRESETS:
            parameter._custom_shell_complete = _completer(lambda own=OWN_PRESETS[command.name]: own)
        elif values is not None:
            parameter._custom_shell_complete = _completer(values)


def _completer(values: Callable[[], Iterable[str]]) -> Callable[[Any, Any, str], list[str]]:
    """Of names that may be joined by commas: the last one is completed."""

    def complete(context: Any, parameter: Any, incomplete: str) -> list[str]:
        del context, parameter
        before, comma, last = incomplete.rpartition(",")
        return [f"{before}{comma}{name}" for name in values() if name.startswith(last)]

    return complete


def _tasks() -> list[str]:
    from mpo_experiments.plugins import load_plugins
    from mpo_experiments.tasks.registry import task_names

    load_plugins()
    return task_names()


def _objectives() -> list[str]:
    import mpo_experiments
    from adapters.storage.objective_paths import CARD_NAME, PREFIX
    from mpo_core.losses.ids import OWN_IDS

    bundled = Path(mpo_experiments.__file__).parent / "bundled" / "discovered"
    return [*OWN_IDS, *(f"{PREFIX}{path.parent.name}" for path in sorted(bundled.glob(f"*/{CARD_NAME}")))]


def _strategies() -> tuple[str, ...]:
    from adapters.evosax.entries import strategy_names

    return strategy_names()


def _presets() -> list[str]:
    from mpo_experiments.settings.presets import PRESETS

    return list(PRESETS)


def _data() -> list[str]:
    from mpo_core.data.fault_registry import FAULTS

    names = [fault.form.partition(":") for fault in FAULTS.values()]
    return [f"{name}{colon}{SHARES.get(name, '')}" for name, colon, _ in names]


_VALUES: dict[str | None, Callable[[], Iterable[str]]] = {
    "task": _tasks, "data": _data, "objective": _objectives, "objectives": _objectives, "init": _objectives,
    "what": _objectives, "log": lambda: ("tensorboard", "wandb"), "strategy": _strategies, "preset": _presets,
}  # fmt: skip
