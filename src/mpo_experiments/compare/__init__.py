"""Searches that differ in some settings, on the same fresh units."""
