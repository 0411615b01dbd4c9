"""Closed forms of learned objectives."""
