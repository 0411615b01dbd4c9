"""How the processes of one run find each other; needs no JAX, so that a command line can check it at once."""

import dataclasses

MOST_PROCESSES = 100_000


@dataclasses.dataclass(frozen=True)
class ProcessGroup:
    """Where the processes meet; all None where the cluster's scheduler says so (SLURM, Open MPI, ...).

    Raises:
        ValueError: one sentence: which option is missing or cannot be.
    """

    coordinator: str | None = None
    """Host and port of process 0, HOST:PORT."""
    processes: int | None = None
    process: int | None = None

    def __post_init__(self):
        if self.detected:
            return
        if self.coordinator is None or self.processes is None or self.process is None:
            raise ValueError("--coordinator HOST:PORT, --processes N and --process I go together: name all three")
        host, _, port = self.coordinator.rpartition(":")
        if not host or not port.isdecimal() or not 0 < int(port) < 2**16:
            raise ValueError(f"--coordinator {self.coordinator}: write it as HOST:PORT, such as node1:12345")
        if not 1 <= self.processes <= MOST_PROCESSES:
            raise ValueError(f"--processes must be between 1 and {MOST_PROCESSES}, not {self.processes}")
        if not 0 <= self.process < self.processes:
            raise ValueError(f"--process must be between 0 and {self.processes - 1}, not {self.process}")

    @property
    def detected(self) -> bool:
        """Whether the scheduler is to be asked."""
        return self.coordinator is None and self.processes is None and self.process is None


def process_group_of(
    distributed: bool, coordinator: str | None, processes: int | None, process: int | None
) -> ProcessGroup | None:
    """What the four options say; None for a run of a single process.

    Raises:
        ValueError: an option without --distributed, or as for `ProcessGroup`.
    """
    if distributed:
        return ProcessGroup(coordinator, processes, process)
    if (coordinator, processes, process) != (None, None, None):
        raise ValueError("--coordinator, --processes and --process are for runs with --distributed: add it")
    return None
