"""Brax environments and PPO."""
