"""What an objective is worth: comparison on shared units, meta-objective, learning curve, statistics."""
