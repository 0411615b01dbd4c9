"""`mpo evaluate` as a function; what both frameworks' evaluators are made of."""

import json
import os
import shlex
import subprocess
import sys

OPTIONS = shlex.split(os.environ.get("MPO_EVALUATE", "--task halfcheetah --data mixed:0.75 --seconds 300"))
"""Options of `mpo evaluate` that all losses of a search get alike."""
FAILED = -1.0
"""The score of a loss that has none: that of a policy whose training blew up."""


def evaluation(path, *more):
    """What `mpo evaluate` found, or {"error": its one sentence}."""
    command = [sys.executable, "-c", "import cli; cli.main()", "evaluate", str(path), *OPTIONS, *more]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        said = done.stderr.strip().splitlines() or [f"ended with exit code {done.returncode} and without a word"]
        return {"error": said[-1].removeprefix("Error: ")}
    return json.loads(done.stdout)


def metrics(found):
    """Numbers for a search: the lower end of a one-standard-error interval is what it climbs."""
    if "error" in found:
        return {"combined_score": FAILED, "score": FAILED, "standard_error": 0.0}
    names = ("score", "standard_error", "mode_score")
    return {"combined_score": found["score"] - found["standard_error"]} | {name: found[name] for name in names}


def feedback(found):
    """What a language model should read of it."""
    if "error" in found:
        return found["error"]
    curve = ", ".join("nan" if value is None else f"{value:.2f}" for value in found["curve"]["score"])
    bad = found["first_bad_update"]
    broke = "" if bad is None else f"; first update that was not finite: {bad} of {found['updates']}"
    return f"score by epoch (original agent 0, target 1): {curve}{broke}"
