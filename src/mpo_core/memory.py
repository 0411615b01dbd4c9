"""How much of a device's memory there is to fill, and with how much: the one place that plans what lies there at once.

CPUs train jobs one after another, which costs the same there and gives the same bytes on any number of devices.
Accelerators train as many side by side as fit.
"""

import contextlib
import dataclasses
import os
import resource
import sys

import jax
from jaxtyping import PyTree

FILLED = 0.7
"""Share of an accelerator's memory that is planned with."""
UNIT_COPIES = 4
"""How often a unit's rows lie on a device: as pairs, as drawn, as labelled, as prepared for updates."""
ACTIVATION_COPIES = 6
"""What an update of a job holds, in activations of all its layers: values, slopes, masks, and room for both."""
PARAMETER_COPIES = 8
"""What a job holds in trained parameters: themselves, Adam's moments, gradient, step, and room for them."""
TRACE_ENTRIES = 8
"""Numbers that a job keeps of each update."""
MOST_JOBS = 1024
"""Jobs that an accelerator trains side by side at most: 256 keep it as busy as more do."""
MAX_UNIT_BYTES = 512 * 2**20
"""Of the rows of the units that a comparison holds together on CPUs."""
KEPT = 1 / 16
"""Share of a host's memory for the rows of units that will be used again, on CPUs; they lie there twice."""
MAX_ROW_BYTES = 256 * 2**20
"""Of the activations of the rows whose log-probs an accelerator computes together."""
MAX_ENV_BYTES = 2**30
"""Of the episodes that an accelerator evaluates side by side; more jobs than fit are evaluated chunk by chunk."""
ENV_STATE_BYTES = 2**15
"""Of the physics of one episode, about; its policy comes on top."""
RECORD_COPIES = 3
"""How often the recorded steps of a rollout lie on a device: as they come, turned, and on their way to the host."""
WIDTH = 64
"""Of a layer, about, where only the number of steps is known."""


def tree_bytes(tree: PyTree) -> int:
    """What the arrays of a tree take."""
    return sum(leaf.nbytes for leaf in jax.tree.leaves(tree))


@dataclasses.dataclass(frozen=True)
class JobSize:
    """What decides how much memory a job takes that trains beside others, its unit's rows apart."""

    widths: tuple[int, ...]
    """Outputs of each layer of the policy."""
    parameters: int
    steps: int
    """Of a minibatch, both sides."""
    updates: int

    @property
    def bytes(self) -> int:
        """Of the job, in float32."""
        numbers = (
            ACTIVATION_COPIES * self.steps * sum(self.widths)
            + PARAMETER_COPIES * self.parameters
            + TRACE_ENTRIES * self.updates
        )
        return 4 * numbers


def jobs_at_once(wanted: int, job_bytes: int, held_bytes: int) -> int:
    """How many jobs a device trains side by side at most: on CPUs one, on an accelerator as many as fit.

    Args:
        wanted: what the settings say; 0 leaves it to this function.
        job_bytes: what each of them takes.
        held_bytes: what lies in the device's memory whatever is trained, units' rows included.
    """
    limit = _limit_bytes()
    if wanted:
        return wanted
    if limit is None:
        return 1
    return max(1, min(MOST_JOBS, int(FILLED * limit - held_bytes) // job_bytes))


def units_at_once(unit_bytes: int, units: int) -> int:
    """How many units a comparison holds in memory together: on an accelerator they may take half of what is planned.

    Args:
        unit_bytes: size of one unit's rows.
        units: as many as there are.
    """
    limit = _limit_bytes()
    room = MAX_UNIT_BYTES if limit is None else int(FILLED * limit / 2) // UNIT_COPIES
    return max(1, min(room // unit_bytes, units))


def units_to_keep(unit_bytes: int) -> int:
    """How many units stay in memory for their next use, rather than being made again; it may be none.

    Args:
        unit_bytes: size of one unit's rows.
    """
    host = _host_bytes() if _limit_bytes() is None else 0
    return max(MAX_UNIT_BYTES, int(KEPT * host)) // unit_bytes


def rows_at_once(steps: int, rows: int) -> int:
    """How many rows have their log-probs computed together: one on CPUs.

    Args:
        steps: of a row, both sides.
    """
    if jax.default_backend() == "cpu":
        return 1
    return max(1, min(rows, MAX_ROW_BYTES // (4 * steps * WIDTH)))


def recorded_episode_bytes(numbers: int, steps: int) -> int:
    """What an episode takes that is rolled out and recorded.

    Args:
        numbers: that a step records.
        steps: that are recorded before they go to the host.
    """
    return ENV_STATE_BYTES + RECORD_COPIES * 4 * numbers * steps


def episodes_that_fit(episode_bytes: int) -> int | None:
    """How many episodes an accelerator may roll out side by side, in a quarter of what is planned; None on CPUs."""
    limit = _limit_bytes()
    return None if limit is None else max(1, int(FILLED * limit / 4) // episode_bytes)


def _limit_bytes() -> int | None:
    """Memory of the first device; None on CPUs, whose devices share that of the host."""
    device = jax.local_devices()[0]
    if device.platform == "cpu":
        return None
    with contextlib.suppress(Exception):  # some back ends have no statistics
        return device.memory_stats()["bytes_limit"]
    return None


def _host_bytes() -> int:
    """Memory of this machine; 0 where the system does not tell."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return 0


def peak_process_bytes() -> int:
    """The largest resident size so far; the system counts in bytes on macOS and in KiB elsewhere."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
