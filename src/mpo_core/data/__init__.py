"""Preference data: specification, faults, labels, rows."""
