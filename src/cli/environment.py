"""What must be set before JAX starts: CPU cores as devices, and where compiled programs are kept."""

import hashlib
import importlib.metadata
import os
import platform
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
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(cache_folder() / "jax" / _machine()))
    # the small ones too: a start has forty of them, each of which takes longer to compile than to find
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def cache_folder() -> Path:
    """The user's cache folder of this program; `MPO_CACHE_DIR` names another."""
    own = os.environ.get("MPO_CACHE_DIR")
    return Path(own) if own else Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "mpo"


def usable_cores() -> int:
    """Cores this process may use: its affinity, and the limit of its control group."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        cores = min(cores, max(1, int(quota) // int(period)))
    except (OSError, ValueError):
        pass  # no such limit
    return cores


def _machine() -> str:
    """Compiled CPU programs fit one jaxlib and one kind of processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        features = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    except OSError:
        features = platform.processor()
    digest = hashlib.sha256(f"{platform.machine()}{features}".encode()).hexdigest()[:8]
    return f"{importlib.metadata.version('jaxlib')}-{digest}"
