"""The process that runs a loss file: `python -P -m mpo_experiments.evaluator.child ORDER`, in a folder of its own.

It takes its limits before anything else is imported, and leaves `result.json`: {"found": ...}, {"refused": sentence}
for a mistake in the file, or {"failed": sentence}.
"""

import json
import sys
from pathlib import Path
from typing import Any

from adapters.processes.confinement import Limits, confine

LOSS, RESULT = "loss.py", "result.json"


def main(order: dict[str, Any]) -> None:
    """Scores `loss.py` of the current folder.

    Args:
        order: "request" as of `EvaluationRequest.as_json`, "seconds", "memory_bytes" and "name" of the user's file.
    """
    limits = Limits(order["seconds"], order["memory_bytes"])
    isolated = confine(limits)
    folder = Path.cwd()
    try:
        told = {"found": _found(order, folder) | {"network": "isolated" if isolated else "not isolated"}}
    except ValueError as error:
        told = {"refused": str(error)}
    except (OSError, MemoryError) as error:
        told = {"failed": _denied(error, order)}
    except Exception as error:
        told = {"failed": _broken(error, order, folder)}
    name = json.dumps(order["name"])[1:-1]  # as JSON has it in a string
    (folder / RESULT).write_text(json.dumps(told).replace(f"loss file {LOSS}", f"loss file {name}"))


def _found(order: dict[str, Any], folder: Path) -> dict[str, Any]:
    from mpo_experiments.evaluator.loss_file import objective_from_file
    from mpo_experiments.evaluator.request import EvaluationRequest
    from mpo_experiments.evaluator.score import score
    from mpo_experiments.plugins import load_plugins

    load_plugins()
    request = EvaluationRequest.from_json(order["request"])
    return score(objective_from_file(folder / LOSS), request)


def _denied(error: OSError | MemoryError, order: dict[str, Any]) -> str:
    """What the file asked for and did not get."""
    name = order["name"]
    if isinstance(error, MemoryError):
        return f"loss file {name}: needed more memory than its limit of {order['memory_bytes'] / 1e9:g} GB"
    what = f"{error.filename}: {error.strerror}" if error.filename else str(error)
    return (
        f"loss file {name}: asked the system for what is not there ({type(error).__name__}: {what}); it runs in an "
        "empty folder, without network, and gets what it needs from its arguments alone"
    )


def _broken(error: Exception, order: dict[str, Any], folder: Path) -> str:
    from mpo_core.failures import explained
    from mpo_experiments.evaluator.loss_file import told

    said = explained(error, "The limit is --memory-gb.") or f"ended with {told(error, folder / LOSS)}"
    return f"loss file {order['name']}: {said}".rstrip(".")


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
