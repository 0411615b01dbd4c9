"""Preference datasets: built, described."""
