"""The evaluator for loss discovery: a loss in a file of a dozen lines is scored in a process of its own."""
