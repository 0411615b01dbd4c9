"""Searches in many cells, against the tuned zoo; what carries over to other cells."""
