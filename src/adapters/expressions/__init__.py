"""Objectives as graphs of operations (jaxprs), and their printing."""
