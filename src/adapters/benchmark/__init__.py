"""`mpo benchmark`: objectives tuned alike and ranked on fresh units."""
