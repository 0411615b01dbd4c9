"""A point mass that must reach a goal, and a square hinge: a task and an objective for mpo."""
