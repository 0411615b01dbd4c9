"""Where the networks of a learned objective lie on the axis of log-probs, for a task's agents."""

from collections.abc import Sequence

import numpy as np

from mpo_core.mirror.monotone_network import UNIT_FRAME, Frame
from mpo_experiments.agents.lookup import load_card

LEAST_WIDTH = 0.05
"""Of a frame, in nats a token: of agents that act alike."""


def knows_tokens(task: str) -> bool:
    """Whether the card of a task's agents knows the log-probs of their tokens; older ones do not."""
    return load_card(task).token_log_probs is not None


def frame_of(tasks: Sequence[str]) -> Frame:
    """From the original agent's mean log-prob of its own tokens down to that of the target's, the mean over tasks.

    Tasks whose cards do not know them are left out; where none does, the units lie around 0.
    """
    known = [pair for pair in (load_card(task).token_log_probs for task in tasks) if pair is not None]
    if not known:
        return UNIT_FRAME
    own, target = np.mean(known, axis=0)
    return Frame(float(own), max(float(own - target), LEAST_WIDTH))
