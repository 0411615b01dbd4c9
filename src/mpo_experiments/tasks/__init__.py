"""Which tasks there are."""
