"""Hand-written preference-optimisation losses and their catalogue."""
