"""A loss file scored in a process of its own, within limits."""

import hashlib
import json
import os
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

from adapters.processes.confinement import Limits, run_confined, scrubbed
from adapters.storage.files import read_bytes
from mpo_core.failures import WorkFailed
from mpo_experiments.evaluator.child import LOSS, RESULT
from mpo_experiments.evaluator.request import EvaluationRequest

CACHE = "JAX_COMPILATION_CACHE_DIR"
OWN_CACHE = "evaluated-losses"
"""Compiled programs of unread code are kept apart from those of this program."""


def evaluate_file(path: Path, request: EvaluationRequest, limits: Limits) -> dict[str, Any]:
    """What a loss is worth, as JSON values; the file runs in an empty folder, in a process of its own.

    Args:
        path: a Python file with `loss(pair, progress)` or an `AbstractObjective`; see docs/evaluate.md.

    Raises:
        ValueError: one sentence: the file cannot be read or imported, has no loss, or one of the wrong shape.
        WorkFailed: one sentence: it did not end within its limits, or ended badly.
    """
    content = read_bytes(path, "loss file")
    with tempfile.TemporaryDirectory(prefix="mpo-evaluate-") as scratch:
        folder = Path(scratch).resolve()
        (folder / LOSS).write_bytes(content)
        order = {
            "request": request.as_json(), "seconds": limits.seconds, "memory_bytes": limits.memory_bytes,
            "name": path.name,
        }  # fmt: skip
        command = [sys.executable, "-P", "-m", "mpo_experiments.evaluator.child", json.dumps(order)]
        ended = run_confined(command, limits, folder, _environment(folder))
        result = _result(folder / RESULT)
    if ended.code is None:
        raise WorkFailed(
            f"loss file {path.name}: was not done after {limits.seconds:g} s (--seconds), compilation included, "
            "and was ended"
        )
    if "refused" in result:
        raise ValueError(result["refused"])
    if "failed" in result:
        raise WorkFailed(result["failed"])
    if "found" not in result:
        raise WorkFailed(f"loss file {path.name}: its process ended without a score ({_how(ended.code, limits)})")
    return result["found"] | {"loss": {"file": path.name, "sha256": hashlib.sha256(content).hexdigest()}}


def _environment(folder: Path) -> dict[str, str]:
    variables = scrubbed(os.environ, folder)
    paths = [str(Path(entry).resolve()) for entry in variables.get("PYTHONPATH", "").split(os.pathsep) if entry]
    if paths:  # the process starts in another folder
        variables["PYTHONPATH"] = os.pathsep.join(paths)
    for name in ("MPO_AGENTS_DIR", CACHE):
        if name in variables:
            variables[name] = str(Path(variables[name]).resolve())
    if CACHE in variables:
        variables[CACHE] = str(Path(variables[CACHE]) / OWN_CACHE)
    return variables


def _result(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _how(code: int, limits: Limits) -> str:
    if code >= 0:
        return f"exit code {code}"
    name = signal.Signals(-code).name
    return f"{name}; its memory limit is {limits.memory_bytes / 1e9:g} GB" if name != "SIGXCPU" else "processor time"
