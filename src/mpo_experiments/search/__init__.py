"""The search for an objective."""
