"""Figures and the page that explain an objective."""
