"""Films of agents."""
