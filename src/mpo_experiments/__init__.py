"""What people do with mpo: search, tune, benchmark, discover, align, show."""
