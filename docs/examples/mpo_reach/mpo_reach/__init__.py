"""A point mass that must reach a goal, a square hinge, and labels that prefer what was second."""
