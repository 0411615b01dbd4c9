"""Objectives on a language model of torch that writes English, with a reward that a program computes."""
