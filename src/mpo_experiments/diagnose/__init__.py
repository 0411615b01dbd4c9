"""`mpo diagnose`: what a preference data set is like before anything is trained on it."""
