"""Work that could not go on for a reason that has a name: a sentence and advice instead of a traceback."""

import os
import sys


class WorkFailed(Exception):
    """Its message is one sentence for a person: what failed, and what to do."""


def backend_fault(error: Exception) -> str | None:
    """Why JAX has no device to compute on, where that is what an error says; None of any other.

    JAX says so in a `RuntimeError`, or in an `AssertionError` without a word where `JAX_PLATFORMS` names a kind of
    device that it knows and does not find.
    """
    if isinstance(error, RuntimeError) and "Unable to initialize backend" in str(error):
        return _no_device()
    if not isinstance(error, AssertionError) or error.args or not os.environ.get("JAX_PLATFORMS"):
        return None
    last = error.__traceback__
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    own = last is not None and f"jax{os.sep}_src" in last.tb_frame.f_code.co_filename
    return _no_device() if own else None


def _no_device() -> str:
    wanted = os.environ.get("JAX_PLATFORMS")
    if not wanted:
        return "JAX finds no device to compute on: set JAX_PLATFORMS=cpu"
    return f"JAX_PLATFORMS={wanted}: JAX finds no such device here: unset the variable, or set it to cpu"


def explained(error: Exception, advice: str) -> str | None:
    """What to tell a person of a failure that is no mistake of this program; any other, None, wants its traceback.

    Args:
        advice: a sentence on how to go on; a `WorkFailed` has its own.
    """
    if isinstance(error, WorkFailed):
        return f"{error}."
    jax = sys.modules.get("jax")  # not imported here: where nothing was computed, nothing of it can have failed
    torch = sys.modules.get("torch")
    if isinstance(error, MemoryError):
        return f"{_OUT_OF_MEMORY}. {advice}"
    if torch is not None and isinstance(error, torch.OutOfMemoryError):
        return f"the device is out of memory: end what else runs on it, or ask for less (a smaller --batch). {advice}"
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
