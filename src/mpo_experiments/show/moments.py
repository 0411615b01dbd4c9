"""Moments of a training at which its objective is looked at."""

TIMES = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Shares of training at which functions are drawn."""
LAST = 0.999
"""What stands for the end of training: progress lies in [0, 1)."""


def within(progress: float) -> float:
    """Progress as objectives know it, below 1."""
    return min(progress, LAST)
