"""Training and evaluating language models on preference pairs."""
