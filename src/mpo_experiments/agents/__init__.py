"""Agents of the tasks: training them and finding their files."""
