"""Devices and compilation cache as the command line sets them, before anything starts JAX."""

from cli.environment import prepare

prepare()
