"""How much memory this process has taken, and how much of a device's there is to fill."""

import contextlib
import resource
import sys

import jax

FILLED = 0.7
"""Share of an accelerator's memory that a search plans with."""
COPIES = 3
"""What a job takes that trains beside others, in units: its rows, the normalised ones, and room for its updates."""


def jobs_at_once(wanted: int, jobs: int, unit_bytes: int, held_bytes: int) -> int:
    """How many of its jobs a device trains side by side.

    On CPUs one after another, which costs the same there and gives the same bytes on any number of devices; on an
    accelerator as many as fit.

    Args:
        wanted: what the settings say; 0 leaves it to this function.
        jobs: of the device.
        unit_bytes: size of one unit's rows.
        held_bytes: what lies in the device's memory whatever is trained.
    """
    limit = _limit_bytes()
    if wanted:
        return min(wanted, jobs)
    if limit is None:
        return 1
    return max(1, min(jobs, int(FILLED * limit - held_bytes) // (COPIES * unit_bytes)))


def _limit_bytes() -> int | None:
    """Memory of the first device; None on CPUs, whose devices share that of the host."""
    device = jax.local_devices()[0]
    if device.platform == "cpu":
        return None
    with contextlib.suppress(Exception):  # some back ends have no statistics
        return device.memory_stats()["bytes_limit"]
    return None


def peak_process_bytes() -> int:
    """The largest resident size so far; the system counts in bytes on macOS and in KiB elsewhere."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
