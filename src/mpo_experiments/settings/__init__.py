"""Settings of runs, and presets."""
