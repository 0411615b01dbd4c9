"""Figures and pictures: matplotlib, Pillow."""
