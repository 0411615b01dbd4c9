"""Losses as formulas: the notation of the cards, read into expressions that exports are written from."""
