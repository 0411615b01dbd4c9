"""Adapter of vaderSentiment: what its lexicon says of a text."""
