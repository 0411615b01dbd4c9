"""A process of its own for code that nobody has read: limits of time and memory, no network, no credentials.

What the system allows, and no more: this keeps accidents and carelessness in, it is no prison for an attacker. The code
runs under the user's own account and may read what the account may read.
"""

import contextlib
import ctypes
import dataclasses
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

KEPT = (
    "PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "PYTHONPATH", "PYTHONHOME",
    "VIRTUAL_ENV", "XLA_FLAGS", "JAX_PLATFORMS", "JAX_ENABLE_X64", "JAX_COMPILATION_CACHE_DIR",
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "TF_CPP_MIN_LOG_LEVEL", "CUDA_VISIBLE_DEVICES", "MPO_AGENTS_DIR",
)  # fmt: skip
"""Variables of the environment that a confined process sees; none of them is a credential."""
MOST_FILE_BYTES = 2**28
"""Of any one file that it writes."""
NEW_USER, NEW_NETWORK = 0x10000000, 0x40000000
"""Flags of Linux' unshare: a user and a network namespace of one's own."""
DIE_WITH_PARENT = 1
"""Linux' PR_SET_PDEATHSIG."""


@dataclasses.dataclass(frozen=True)
class Limits:
    """What a confined process may use."""

    seconds: float
    """By the clock, from its start; and by processor time on every core."""
    memory_bytes: int
    """Of its data (`RLIMIT_DATA`: heap and private memory, not what is merely mapped)."""


@dataclasses.dataclass(frozen=True)
class Ended:
    """How a confined process ended."""

    code: int | None
    """Its exit code, negative for a signal; None: its time was over."""
    said: str
    """The end of what it wrote to standard output and error."""


def scrubbed(environment: Mapping[str, str], home: Path) -> dict[str, str]:
    """The variables that a confined process sees: those of `KEPT`, with `home` for a home and temporary folder."""
    kept = {name: environment[name] for name in KEPT if name in environment}
    return kept | {"HOME": str(home), "TMPDIR": str(home), "PYTHONDONTWRITEBYTECODE": "1"}


def run_confined(command: list[str], limits: Limits, folder: Path, environment: Mapping[str, str]) -> Ended:
    """Runs a command in a session of its own and, whatever happens, ends all that is left of its process group.

    The command itself takes its limits with `confine` as soon as it starts; the clock is kept here.

    Args:
        folder: where it runs; what it says goes to a file `said` there.
    """
    said = folder / "said"
    with said.open("wb") as out:
        process = subprocess.Popen(
            command, cwd=folder, env=dict(environment), stdin=subprocess.DEVNULL, stdout=out, stderr=out,
            start_new_session=True,
        )  # fmt: skip
        try:
            code = process.wait(limits.seconds)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    return Ended(code, _end_of(said))


def confine(limits: Limits) -> bool:
    """Takes limits and leaves the network, for good; call it first in a process, before it has threads.

    Returns:
        Whether there is no network any more.
    """
    _die_with_parent()
    isolated = _without_network()
    cores = os.cpu_count() or 1
    seconds = int(limits.seconds * cores) + 1
    _limit(resource.RLIMIT_CPU, seconds)
    _limit(resource.RLIMIT_DATA, limits.memory_bytes)
    _limit(resource.RLIMIT_FSIZE, MOST_FILE_BYTES)
    _limit(resource.RLIMIT_CORE, 0)
    return isolated


def _limit(what: int, amount: int) -> None:
    """Lowers a limit; one that is lower already stays."""
    _, most = resource.getrlimit(what)
    amount = amount if most == resource.RLIM_INFINITY else min(amount, most)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(what, (amount, amount))


def _die_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(DIE_WITH_PARENT, signal.SIGKILL)


def _without_network() -> bool:
    """A network namespace of its own, in which nothing but a dead loopback is; needs Linux and permission."""
    if sys.platform != "linux":
        return False
    unshare = ctypes.CDLL(None, use_errno=True).unshare
    if unshare(NEW_NETWORK) == 0:  # as root
        return True
    user, group = os.getuid(), os.getgid()
    if unshare(NEW_USER | NEW_NETWORK) != 0:
        return False
    with contextlib.suppress(OSError):  # the same account inside; without it everything belongs to nobody
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
    return True


def _end_of(path: Path, characters: int = 4000) -> str:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - characters))
        return file.read().decode(errors="replace")
