"""Evolution strategies from evosax."""
