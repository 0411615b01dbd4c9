"""What a normalised score is, in the words of captions."""

SCALE = "original 0 (the agent where training starts), target 1 (a better one)"
UNIT = "a unit: fresh data, a training and its evaluation, of one seed"
NO_NOISE = "original, no action noise"
"""The row of what the original agent scores without learning anything but to act less at random."""
