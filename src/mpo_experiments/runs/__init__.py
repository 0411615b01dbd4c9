"""Run folders of searches, and their final tables."""
