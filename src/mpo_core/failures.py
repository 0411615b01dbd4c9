"""Work that could not go on for a reason that has a name: a sentence and advice instead of a traceback."""

import sys


class WorkFailed(Exception):
    """Its message is one sentence for a person: what failed, and what to do."""


def explained(error: Exception, advice: str) -> str | None:
    """What to tell a person of a failure that is no mistake of this program; any other, None, wants its traceback.

    Args:
        advice: a sentence on how to go on; a `WorkFailed` has its own.
    """
    if isinstance(error, WorkFailed):
        return f"{error}."
    jax = sys.modules.get("jax")  # not imported here: where nothing was computed, nothing of it can have failed
    if isinstance(error, MemoryError):
        return f"{_OUT_OF_MEMORY}. {advice}"
    if jax is None or not isinstance(error, jax.errors.JaxRuntimeError):
        return None
    said = " ".join(str(error).split())
    if "RESOURCE_EXHAUSTED" in said or "out of memory" in said.lower():
        return f"{_OUT_OF_MEMORY}. {advice}"
    if any(name in said for name in ("Gloo", "NCCL", "coordination service")):
        return f"another process of the run has ended or can no longer be reached: its own message says why. {advice}"
    return f"a compiled program failed on {jax.default_backend()} ({_shortened(said)}). {advice}"


_OUT_OF_MEMORY = (
    "the device is out of memory: end what else runs on it, or ask for less "
    "(a smaller preset, population, rows.count, rows.length or search.bank_pairs)"
)


def _shortened(text: str, length: int = 160) -> str:
    return text if len(text) <= length else f"{text[:length]}..."
