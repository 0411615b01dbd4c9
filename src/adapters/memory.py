"""How much memory this process has taken."""

import resource
import sys


def peak_process_bytes() -> int:
    """The largest resident size so far; the system counts in bytes on macOS and in KiB elsewhere."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
