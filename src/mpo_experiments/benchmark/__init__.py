"""Objectives tuned alike and ranked on kinds of data."""
