"""Tasks, trajectories, and policies acting in tasks."""
