"""Policies whose tokens have probabilities."""
