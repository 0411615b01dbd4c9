"""What must be set before JAX starts: CPU cores as devices, and where compiled programs are kept."""

import hashlib
import importlib.metadata
import os
import platform
import sys
from pathlib import Path

MAX_CPU_DEVICES = 32
_COUNT_FLAG = "--xla_force_host_platform_device_count"
_PATIENT = 7 * 24 * 3600
_PATIENCE = (
    "--xla_cpu_collective_call_warn_stuck_timeout_seconds",
    "--xla_cpu_collective_call_terminate_timeout_seconds",
    "--xla_cpu_collective_timeout_seconds",
)
"""XLA ends the process where one CPU device waits more than 40 s for another at the end of a generation, and gives a
process up after 30 s: generations take minutes, and devices are not equally fast."""


def prepare() -> None:
    """Sets XLA_FLAGS and the compilation cache; whatever the user has set stays."""
    flags = os.environ.get("XLA_FLAGS", "")
    if _COUNT_FLAG not in flags:
        flags = f"{flags} {_COUNT_FLAG}={min(usable_cores(), MAX_CPU_DEVICES)}"
    flags += "".join(f" {name}={_PATIENT}" for name in _PATIENCE if name not in flags)
    os.environ["XLA_FLAGS"] = flags.strip()
    _single_precision()
    _keep_programs()
    # the small ones too: a start has forty of them, each of which takes longer to compile than to find
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if "JPY_PARENT_PID" in os.environ:
        _in_a_notebook()


def _in_a_notebook() -> None:
    """Called from a cell, `!mpo`: nothing that moves or is coloured, and no backend that only the kernel may have."""
    os.environ.setdefault("TTY_COMPATIBLE", "0")
    if os.environ.get("MPLBACKEND", "").startswith("module://"):
        del os.environ["MPLBACKEND"]


def _single_precision() -> None:
    """Everything here is float32: with double precision on, programs would mix the two."""
    if os.environ.get("JAX_ENABLE_X64", "").lower() in ("1", "true", "t", "yes", "y", "on"):
        os.environ["JAX_ENABLE_X64"] = "0"
        print("Warning: JAX_ENABLE_X64 is switched off: mpo computes in single precision.", file=sys.stderr)


def _keep_programs() -> None:
    """Where compiled programs are kept; nowhere if there is no room for them."""
    if "JAX_COMPILATION_CACHE_DIR" in os.environ:
        return
    folder = cache_folder() / "jax" / machine()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        usable = os.access(folder, os.W_OK)
    except (OSError, ValueError):  # a name with a null byte is a bare ValueError
        usable = False
    if usable:
        os.environ["JAX_COMPILATION_CACHE_DIR"] = str(folder)
    else:
        where = f"{cache_variable()}: {cache_folder()} cannot be written to"
        print(f"Warning: {where}: programs are compiled anew each time.", file=sys.stderr)


def cache_folder() -> Path:
    """The user's cache folder of this program; `MPO_CACHE_DIR` names another."""
    own = os.environ.get("MPO_CACHE_DIR")
    try:
        return Path(own) if own else Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "mpo"
    except RuntimeError:  # there is no home
        return Path(".cache") / "mpo"


def cache_variable() -> str:
    """The environment variable that the cache folder follows from."""
    return next((name for name in ("MPO_CACHE_DIR", "XDG_CACHE_HOME") if os.environ.get(name)), "HOME")


def usable_cores() -> int:
    """Cores this process may use: its affinity, and the limit of its control group."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        cores = min(cores, max(1, int(quota) // int(period)))
    except (OSError, ValueError):
        pass  # no such limit
    return cores


def machine() -> str:
    """Compiled CPU programs fit one jaxlib and one kind of processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        features = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    except OSError:
        features = platform.processor()
    digest = hashlib.sha256(f"{platform.machine()}{features}".encode()).hexdigest()[:8]
    return f"{importlib.metadata.version('jaxlib')}-{digest}"
