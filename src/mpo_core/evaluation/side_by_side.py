"""Which jobs a device trains side by side. Those that share a unit stand together: they share every minibatch."""

import dataclasses

import numpy as np
from jaxtyping import Bool, Int


@dataclasses.dataclass(frozen=True)
class Block:
    """Jobs that a device trains side by side; by default one."""

    groups: int = 1
    members: int = 1
    """Neighbouring jobs of each group: all are of one unit."""

    @property
    def jobs(self) -> int:
        """In all groups."""
        return self.groups * self.members


ONE_AFTER_ANOTHER = Block()


@dataclasses.dataclass(frozen=True)
class Arrangement:
    """Where jobs are trained: slots, device after device, block after block, group after group."""

    block: Block
    job: Int[np.ndarray, " slot"]
    """The job in each slot; slots that are left over repeat one."""
    place: Int[np.ndarray, " job"]
    """A slot of each job."""
    asked: Bool[np.ndarray, " slot"] | None = None
    """False where a slot is left over and need not be trained; None: all are trained."""


def arrange(unit: Int[np.ndarray, " job"], devices: int, at_once: int) -> Arrangement:
    """Places jobs on devices.

    Args:
        unit: of each job.
        devices: that share the jobs.
        at_once: jobs that a device may train side by side; with 1, jobs keep their order.
    """
    if at_once == 1:
        count = len(unit)
        return Arrangement(
            ONE_AFTER_ANOTHER, np.minimum(np.arange(-(-count // devices) * devices), count - 1), np.arange(count)
        )
    by_unit = [np.flatnonzero(unit == one) for one in np.unique(unit)]
    largest = max(len(jobs) for jobs in by_unit)
    members = min(at_once, -(-len(unit) // devices), largest)
    members = -(-largest // -(-largest // members))  # as many groups, but even ones
    groups = np.concatenate([_rows_of(jobs, members) for jobs in by_unit])
    own = -(-len(groups) // devices)
    blocks = -(-own // min(max(at_once // members, 1), own))
    side_by_side = -(-own // blocks)
    wanted = devices * blocks * side_by_side
    job = groups[np.minimum(np.arange(wanted), len(groups) - 1)].reshape(-1)
    place = np.zeros(len(unit), int)
    place[job[::-1]] = np.arange(len(job))[::-1]  # the first slot of a job that has several
    return Arrangement(Block(side_by_side, members), job, place)


def arrange_calls(count: int, devices: int, size: int) -> Arrangement:
    """Places jobs that train one after another in calls of one size, those of a call evenly over the devices.

    Args:
        size: slots of a call, a multiple of the devices.
    """
    slots = -(-count // size) * size
    number = np.arange(count)
    call, within = number // size, number % size
    place = call * size + within % devices * (size // devices) + within // devices
    job, asked = np.full(slots, count - 1), np.zeros(slots, bool)
    job[place], asked[place] = number, True
    return Arrangement(ONE_AFTER_ANOTHER, job, place, asked)


def _rows_of(jobs: np.ndarray, members: int) -> np.ndarray:
    """Jobs in rows of so many, the last row filled up with its last job."""
    count = -(-len(jobs) // members) * members
    return jobs[np.minimum(np.arange(count), len(jobs) - 1)].reshape(-1, members)
