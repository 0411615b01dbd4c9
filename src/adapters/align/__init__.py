"""`mpo align`: language models trained with any objective, through TRL."""
