"""TensorBoard logs."""
