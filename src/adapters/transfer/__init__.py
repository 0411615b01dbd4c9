"""`mpo transfer`: the experiment on a small language model whose truth is known."""
