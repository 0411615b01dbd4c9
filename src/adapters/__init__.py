"""Thin wrappers, one room a foreign library: each owns that library's quirks and decides nothing."""
