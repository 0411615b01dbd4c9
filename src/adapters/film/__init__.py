"""`mpo render`: films of agents."""
