"""Trajectories of a dataset, compared."""

import numpy as np

SIDES = ("chosen", "rejected")


def assert_same_trajectories(data, found):
    """`found` gives (observation, action, reward) of a row's side."""
    for row in range(data.card.rows):
        for at, side in enumerate(SIDES):
            taken = data.trajectory(row, at)
            for ours, theirs in zip((taken.observation, taken.action, taken.reward), found(row, side), strict=True):
                theirs = np.asarray(theirs, np.float32)
                assert ours.shape == theirs.shape
                np.testing.assert_array_equal(ours, theirs)
