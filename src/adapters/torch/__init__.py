"""PyTorch, transformers, PEFT and TRL."""
