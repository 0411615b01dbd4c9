"""Short reviews from a grammar, whose true worth is known: a language model as a task."""
