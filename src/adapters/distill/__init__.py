"""`mpo distill`: closed forms of learned objectives."""
