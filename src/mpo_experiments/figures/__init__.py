"""What the figures of all experiments have in common, and those that several of them draw."""
