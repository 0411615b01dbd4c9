"""Objectives on a small language model with a known reward."""
