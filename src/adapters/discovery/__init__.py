"""`mpo discover` and the objectives that searches found."""
