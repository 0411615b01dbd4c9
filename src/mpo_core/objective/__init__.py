"""What an objective is: its interface, its input, and stable elementary functions."""
