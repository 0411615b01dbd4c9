"""Operating-system signals, and several processes as one run (jax.distributed)."""
