"""Benchmarks: every one times alternatives in turn, in one process, and says whether they compute the same."""

from cli.environment import prepare

prepare()  # devices and compilation cache as the command line has them, before anything starts JAX
