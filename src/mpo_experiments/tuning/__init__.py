"""Hand-written objectives tuned under one budget."""
